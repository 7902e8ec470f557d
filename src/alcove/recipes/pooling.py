"""A template's `pool`: how many workspaces are kept started for it, unless an operator says."""

from alcove.model.pool import (
    NO_POOL,
    REFILL,
    PoolMode,
    PoolSettings,
    Window,
    faults,
    read_days,
)
from alcove.recipes.problem import Report
from alcove.recipes.shape import Part

_SIZES = ("min", "max", "mode")


def read_pool(raw: Part, report: Report) -> PoolSettings:
    """The settings; what contradicts itself is reported."""
    given = raw.get("pool")
    if not isinstance(given, Part):
        return NO_POOL
    windows = tuple(
        window
        for at, part in enumerate(given.get("schedule", ()))
        if (window := _window(part, at, report)) is not None
    )
    least, most = int(given.get("min", 0)), int(given.get("max", given.get("min", 0)))
    if "size" in given:
        for name in (name for name in _SIZES if name in given):
            said = f"says the same as size; give size, or {' and '.join(_SIZES[:2])}"
            report.error(given.line(name), f"pool.{name}", said)
        least = int(given["size"])
        most = max([least, *(window.min for window in windows)])
    mode = PoolMode.ADAPTIVE if "max" in given and most > least else PoolMode.FIXED
    settings = PoolSettings(
        min=least,
        max=most,
        mode=PoolMode(given.get("mode", mode)),
        schedule=windows,
        zone=given.get("zone", "UTC"),
        refill_per_s=float(given.get("refill_per_second", REFILL)),
    )
    for field, said in faults(settings):
        name = field.partition("[")[0]
        report.error(given.line(name), f"pool.{field}", said)
    return settings


def _window(part: Part, at: int, report: Report) -> Window | None:
    try:
        days = read_days(part.get("days", "daily"))
    except ValueError as error:
        report.error(part.line("days"), f"pool.schedule[{at}].days", str(error))
        return None
    return Window(days, str(part["from"]), str(part["to"]), int(part["min"]))
