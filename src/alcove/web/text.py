"""Values as pages say them: moments, durations, sizes."""

from datetime import datetime, timedelta

from markupsafe import Markup

from alcove.model.image import DebianImage, Image


def ago(at: datetime | None, now: datetime) -> str:
    """`4m 12s`, `3h 20m`, `5d`: how far apart, whichever is earlier."""
    if at is None:
        return "never"
    return span(abs((now - at).total_seconds()))


def span(seconds: float | timedelta) -> str:
    """A duration in its two largest units."""
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    days, rest = divmod(max(0, int(seconds)), 86400)
    hours, rest = divmod(rest, 3600)
    minutes, whole = divmod(rest, 60)
    if days:
        return f"{days}d {hours}h" if hours and days < 14 else f"{days}d"
    if hours:
        return f"{hours}h {minutes}m" if minutes else f"{hours}h"
    return f"{minutes}m {whole}s" if minutes else f"{whole}s"


def seconds(number: float) -> str:
    """A short wait: `40 ms`, `1.2 s`, `3m 10s`."""
    if number < 1:
        return f"{number * 1000:.0f} ms"
    if number < 60:
        return f"{number:.1f} s"
    return f"{int(number) // 60}m {int(number) % 60}s"


def when(at: datetime | None, now: datetime) -> Markup:
    """A moment as people say it, with the exact one in it; browsers show that in the reader's
    own zone."""
    if at is None:
        return Markup("never")
    said = f"in {ago(at, now)}" if at > now else f"{ago(at, now)} ago"
    if abs((now - at).total_seconds()) < 1:
        said = "now"
    exact = at.strftime("%Y-%m-%d %H:%M:%S UTC")
    return Markup('<time datetime="{}" title="{}">{}</time>').format(at.isoformat(), exact, said)


def size(number: int) -> str:
    """Of a file: `17 bytes`, `1.2 KiB`, `3 MiB`."""
    if number < 1024:
        return "1 byte" if number == 1 else f"{number} bytes"
    if number < 2**20:
        return f"{number / 1024:.1f}".removesuffix(".0") + " KiB"
    return mib(number / 2**20)


def mib(number: float | None) -> str:
    """`512 MiB`, `4 GiB`, `1.5 GiB`."""
    if number is None:
        return "no limit"
    if number < 1024:
        return f"{number:.0f} MiB"
    return f"{number / 1024:.1f}".removesuffix(".0") + " GiB"


def cores(millis: int | None) -> str:
    if millis is None:
        return "no limit"
    number = f"{millis / 1000:g}"
    return f"{number} core" if number == "1" else f"{number} cores"


def image_title(image: Image) -> str:
    """Such as `Debian bookworm with 21 packages`."""
    if isinstance(image, DebianImage):
        number = len(image.packages) + len(image.npm) + len(image.pip)
        return f"Debian {image.suite} with {number} packages"
    return f"{image.reference}@{image.digest[:19]}"
