"""A template's `apps`: what each offers, with what only makes sense together checked."""

from collections.abc import Sequence

from alcove.model.app import App, AppStart, HealthCheck, Level, OpenIn, narrower
from alcove.recipes import environment
from alcove.recipes.problem import Report
from alcove.recipes.shape import Part

INTERVAL_MAX_S = 3600
LISTENS = ("command", "port", "health", "start", "subdomain", "share", "env")
"""Fields that a link to somewhere else cannot have."""


def read_apps(parts: Sequence[Part], most: Level, report: Report) -> tuple[App, ...]:
    """All of them, in the order of pages: by `order`, then as they stand. `most`: the widest
    level that the template's ceilings allow."""
    found: dict[str, App] = {}
    ports: dict[int, str] = {}
    for part in parts:
        name, port = str(part["name"]), part.get("port")
        if name in found:
            report.error(part.line("name"), name, "is the name of two apps")
        if port is not None and port in ports:
            said = f"{port} is the port of {ports[port]} already"
            report.error(part.line("port"), f"{name}.port", said)
        ports.setdefault(port or 0, name)
        _check(name, part, report)
        level = Level(part.get("share", Level.PRIVATE))
        if narrower(level, most) is not level:
            said = f"{level} is over the ceiling {most}"
            report.error(part.line("share"), f"{name}.share", said)
        health = part.get("health", Part({}, part.node.at("health")))
        interval = health.get("interval", HealthCheck().interval_s)
        if interval > INTERVAL_MAX_S:
            report.error(
                health.line("interval"), f"{name}.health.interval", "is over the most, 1h"
            )
        found[name] = App(
            name=name,
            display_name=part.get("display_name") or name,
            icon=part.get("icon", ""),
            port=port,
            url=part.get("url"),
            command=part.get("command"),
            start=AppStart(part.get("start", AppStart.BOOT)),
            health=HealthCheck(
                path=health.get("path"),
                interval_s=interval,
                threshold=health.get("threshold", HealthCheck().threshold),
            ),
            subdomain=part.get("subdomain", True),
            share=level,
            open_in=OpenIn(part.get("open_in", OpenIn.TAB)),
            order=part.get("order", 0),
            hidden=part.get("hidden", False),
            env=part.get("env", {}),
        )
    return tuple(sorted(found.values(), key=lambda app: app.order))


def _check(name: str, part: Part, report: Report) -> None:
    if "url" in part:
        for field in LISTENS:
            if part.names(field):
                said = "is for what listens inside, and this is a link"
                report.error(part.line(field), f"{name}.{field}", said)
    if "command" in part and not str(part["command"]).strip():
        report.error(part.line("command"), f"{name}.command", "is empty")
    if part.get("start") == AppStart.FIRST_USE and not part.names("command"):
        said = "first_use needs a command to start"
        report.error(part.line("start"), f"{name}.start", said)
    for variable, value in part.get("env", {}).items():
        try:
            environment.check(variable, value)
        except ValueError as error:
            report.error(part.line("env", variable), f"{name}.env.{variable}", str(error))
