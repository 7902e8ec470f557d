"""`/-/patterns`: every component of the pages, in each of its states."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from starlette.requests import Request
from starlette.responses import Response

from alcove.http.access import needs_sign_in
from alcove.model.access import Actor
from alcove.web.contexts import Badge, Chip, Fact, Frame, Link, Step, Tab
from alcove.web.frame import frame_of
from alcove.web.pages import CoreOf, render, router

routes = router()


@dataclass(frozen=True, slots=True)
class PatternsPage:
    frame: Frame
    now: datetime
    badges: Sequence[Badge]
    tones: Sequence[str]
    chips: Sequence[Chip]
    tabs: Sequence[Tab]
    steps: Sequence[Step]
    facts: Sequence[Fact]
    symbols: Sequence[str]


_BADGES = (
    Badge("running", "full", "green"),
    Badge("starting", "half", "blue"),
    Badge("stopping", "half-right", "grey"),
    Badge("stopped", "ring", "grey"),
    Badge("paused", "bars", "violet"),
    Badge("failed", "cross", "red"),
    Badge("unreachable", "question", "amber"),
    Badge("unhealthy", "triangle", "amber"),
)
_STEPS = (
    Step("image", "done", took="0.1s"),
    Step("network", "done", took="0.02s"),
    Step("clone", "running", "34 %", "4s"),
    Step("scripts", "waiting"),
    Step("dotfiles", "failed", "exit code 1: no such file"),
)


@routes.get("/-/patterns")
async def show(
    request: Request, core: CoreOf, actor: Annotated[Actor, needs_sign_in()]
) -> Response:
    now = core.clock()
    context = PatternsPage(
        frame=frame_of(request, actor, crumbs=(Link("Components"),)),
        now=now,
        badges=_BADGES,
        tones=("blue", "amber", "red", "green"),
        chips=(Chip("Running", "#", on=True, count=12), Chip("Stopped", "#", on=False)),
        tabs=(Tab("Overview", "#", here=True), Tab("Logs", "#", here=False)),
        steps=_STEPS,
        facts=(
            Fact("Template", "python version 3", path="#"),
            Fact("Last used", at=now - timedelta(minutes=4)),
            Fact("Deleted", at=now + timedelta(days=3)),
            Fact("Image", "sha256:4f1c", mono=True),
        ),
        symbols=(
            "python",
            "debian",
            "nodejs",
            "go",
            "robot",
            "notebook",
            "editor",
            "globe",
            "box",
        ),
    )
    return render("patterns.html", context)
