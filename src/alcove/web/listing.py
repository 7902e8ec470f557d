"""A workspace as a row of the list shows it."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from alcove.core import identity, usage_history
from alcove.core.app import Core
from alcove.core.usage_history import Sample
from alcove.model.access import Actor, Permission, allows
from alcove.model.lifecycle import SETTLED
from alcove.model.workspace import Desired, Phase, Workspace
from alcove.web.contexts import Badge, badge_of

SPARK_WIDTH = 72
SPARK_HEIGHT = 18


@dataclass(frozen=True, slots=True)
class Way:
    """A way in, as an icon."""

    name: str
    path: str
    icon: str


@dataclass(frozen=True, slots=True)
class Row:
    workspace: Workspace
    owner: str
    badge: Badge
    moving: bool
    may_change: bool
    may_start: bool
    may_stop: bool
    may_delete: bool
    may_enter: bool
    ways: Sequence[Way] = ()
    spark: str = ""
    """Points of a line for its CPU of late; empty when nothing is known."""
    spark_says: str = ""


async def rows_of(
    core: Core, actor: Actor, found: Sequence[Workspace], *, pages: frozenset[str] = frozenset()
) -> list[Row]:
    """`pages`: the addresses that are served, so that no way in leads nowhere."""
    names = await identity.names(core, {workspace.owner for workspace in found})
    return [row_of(core, actor, one, names[one.owner], pages=pages) for one in found]


def row_of(
    core: Core, actor: Actor, workspace: Workspace, owner: str, *, pages: frozenset[str]
) -> Row:
    def may(permission: Permission) -> bool:
        return allows(actor, permission, owner=workspace.owner, workspace=workspace.id)

    gone = workspace.desired is Desired.DELETED
    change = may(Permission.WORKSPACE_UPDATE) and not gone
    startable = workspace.desired is not Desired.RUNNING or workspace.phase is Phase.FAILED
    history = usage_history.of(core, workspace.id) if workspace.phase is Phase.RUNNING else ()
    enter = may(Permission.WORKSPACE_EXEC) and not gone
    return Row(
        workspace=workspace,
        owner=owner,
        badge=badge_of(workspace),
        moving=workspace.phase not in SETTLED,
        may_change=change,
        may_start=change and startable,
        may_stop=change and workspace.desired is Desired.RUNNING,
        may_delete=may(Permission.WORKSPACE_DELETE) and not gone,
        may_enter=enter,
        ways=ways_of(workspace, pages) if enter else (),
        spark=spark_of(history),
        spark_says=f"CPU now {history[-1].cpu_share:.0%} of a core" if history else "",
    )


def ways_of(workspace: Workspace, pages: frozenset[str]) -> Sequence[Way]:
    here = f"/workspaces/{quote(workspace.id)}"
    found = [Way("Ways in", f"{here}#ways-in", "key")]
    if "/workspaces/{id}/terminal" in pages:
        found.append(Way("Terminal", f"{here}/terminal", "terminal"))
    return found


def spark_of(history: Sequence[Sample]) -> str:
    """Points for a `polyline`; the whole height is one core, or the most it used."""
    if len(history) < 2:
        return ""
    shown = history[-SPARK_WIDTH // 2 :]
    top = max(1.0, *(sample.cpu_share for sample in shown))
    step = SPARK_WIDTH / (len(shown) - 1)
    return " ".join(
        f"{number * step:.0f},{SPARK_HEIGHT - 1 - sample.cpu_share / top * (SPARK_HEIGHT - 2):.1f}"
        for number, sample in enumerate(shown)
    )
