"""Workspaces: create, list, show, start, stop, restart, update, delete."""

import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Final

import typer

from alcove.cli import prompts, screen
from alcove.cli.outcomes import goal_of, progress_line, told
from alcove.cli.parameters import typed
from alcove.cli.screen import Column
from alcove.cli.session import (
    Json,
    NoWait,
    WorkspaceName,
    Yes,
    complete_templates,
    complete_workspaces,
    connect,
    pairs,
)
from alcove.cli.workspace_options import (
    NEVER_WORDS,
    AutoResume,
    Ephemeral,
    FromSnapshot,
    IdleStop,
    Isolation,
    Label,
    NetworkOption,
    OnExpiry,
    OnIdle,
    Parameter,
    TemplateToMake,
)
from alcove.clock import system_clock
from alcove.sdk.errors import AlcoveError, Invalid

if TYPE_CHECKING:
    from alcove.sdk import Alcove, Workspace
    from alcove.sdk.changes import ParameterValue
    from alcove.wire.workspaces import Workspace as Info

ENDS_SHOWN: Final = timedelta(days=30)
"""What ends later is no news in a list; `show` tells it."""


def create(
    template: TemplateToMake = None,
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="Else made up.")] = None,
    parameter: Parameter = None,
    repo: Annotated[str | None, typer.Option("--repo", help="A Git URL to clone.")] = None,
    branch: Annotated[str | None, typer.Option("--branch", help="Of the repository.")] = None,
    ttl: Annotated[str | None, typer.Option("--ttl", help="Deleted after that: 4h, 7d.")] = None,
    ephemeral: Ephemeral = None,
    isolation: Isolation = None,
    network: Annotated[NetworkOption | None, typer.Option("--network")] = None,
    env: Annotated[list[str] | None, typer.Option("--env", "-e", metavar="KEY=VALUE")] = None,
    label: Label = None,
    cpu: Annotated[float | None, typer.Option("--cpu", help="Cores.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Such as 4Gi.")] = None,
    disk: Annotated[str | None, typer.Option("--disk", help="Such as 20Gi.")] = None,
    template_version: Annotated[int | None, typer.Option("--template-version", min=1)] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="For administrators.")] = None,
    snapshot: FromSnapshot = None,
    on_expiry: OnExpiry = None,
    idle_stop: IdleStop = None,
    on_idle: OnIdle = None,
    auto_resume: AutoResume = None,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Create a workspace, and wait until one can work in it.

    At a terminal it asks for what it was not told. Prints the workspace's name, so that
    `W=$(alcove create -t python)` works.
    """
    resources = {"cpu": cpu, "memory": memory, "disk": disk}
    wanted = {key: value for key, value in resources.items() if value is not None}
    asks = prompts.at_a_terminal() and not as_json and snapshot is None
    if (template is None) == (snapshot is None) and not (asks and template is None):
        raise typer.BadParameter("give --template, or --snapshot", param_hint="--template")
    values = pairs(parameter or [], option="--parameter")
    with connect() as api:
        if asks:
            options = {"repo": repo, "branch": branch, "ttl": ttl}
            given = [name for name, value in options.items() if value is not None]
            template, values = _asked(api, template, values, given, version=template_version)
        workspace = api.workspaces.create(
            template,
            snapshot=snapshot,
            on_expiry=on_expiry.value if on_expiry else None,
            idle_stop=idle_stop,
            on_idle=on_idle.value if on_idle else None,
            auto_resume=auto_resume,
            name=name,
            rich_parameters=(values or None) if snapshot is None else None,
            parameters=_of_snapshot(api, snapshot, values),
            repo=repo,
            branch=branch,
            ttl=ttl,
            ephemeral=ephemeral,
            isolation=isolation.value if isolation else None,
            network={"mode": network.value} if network else None,
            env=pairs(env or [], option="--env") or None,
            labels=pairs(label or [], option="--label") or None,
            resources=wanted or None,
            template_version=template_version,
            owner=owner,
            wait=False,
        )
        told(workspace, None if no_wait else goal_of("ready"), as_json=as_json, verb="is ready")
        if not as_json and not sys.stdout.isatty():
            screen.answer(workspace.name)
        elif not as_json and not no_wait:
            screen.say(f"Work in it with `alcove exec {workspace.name}`.")


def _asked(
    api: "Alcove",
    template: str | None,
    values: dict[str, str],
    told: list[str],
    *,
    version: int | None,
) -> tuple[str | None, dict[str, str]]:
    """What is missing is asked for; another version than the active one may want other things."""
    if template is not None and version is not None:
        return template, values
    answers = prompts.complete(api, template, values, told=told)
    return answers.template, dict(answers.parameters)


def _of_snapshot(
    api: "Alcove", snapshot: str | None, values: dict[str, str]
) -> "dict[str, ParameterValue] | None":
    """With a snapshot, parameters are typed by us: its template says how."""
    if snapshot is None or not values:
        return None
    template = api.snapshots.get(snapshot).template
    return dict(typed(values, api.templates.parameters(template)))


def list_(
    everyone: Annotated[bool, typer.Option("--all", "-a", help="Everybody's.")] = False,
    template: Annotated[
        str | None, typer.Option("--template", "-t", autocompletion=complete_templates)
    ] = None,
    phase: Annotated[str | None, typer.Option("--phase", help="running, stopped, …")] = None,
    label: Label = None,
    as_json: Json = False,
) -> None:
    """List your workspaces."""
    with connect() as api:
        owner = None if everyone else "me"
        labels = pairs(label or [], option="--label")
        found = [
            workspace.info
            for workspace in api.workspaces.list(
                owner=owner, template=template, phase=phase, labels=labels
            )
        ]
    if as_json:
        screen.print_json({"items": found})
        return
    screen.print_table(
        [
            Column("NAME"),
            Column("PHASE"),
            Column("TEMPLATE", 2),
            Column("CREATED", 3),
            Column("ENDS", 4),
            Column("WHY", 1),
        ],
        [
            (
                f"{info.owner}/{info.name}" if everyone else info.name,
                info.phase,
                f"{info.template} v{info.template_version}",
                screen.ago(info.created_at),
                _ends(info),
                _why(info),
            )
            for info in found
        ],
        empty="No workspaces. `alcove create -t TEMPLATE` makes one.",
    )


def show(workspace: WorkspaceName, as_json: Json = False) -> None:
    """Show all about a workspace."""
    with connect() as api:
        info = api.workspaces.get(workspace).info
    if as_json:
        screen.print_json(info)
        return
    usage = info.usage
    screen.print_facts(
        [
            ("Name", f"{info.owner}/{info.name}"),
            ("Id", info.id),
            ("Phase", info.phase),
            ("Why", info.reason),
            ("Health", info.health),
            ("Template", f"{info.template} version {info.template_version}"),
            ("Kind", f"{info.kind}, ephemeral" if info.ephemeral else info.kind),
            ("Isolation", info.isolation),
            ("Began", " ".join(part for part in (info.started or "", info.started_why) if part)),
            ("At its end", f"paused{_wakes(info)}" if info.on_expiry == "pause" else ""),
            ("Repository", " ".join(part for part in (info.repo, info.branch) if part)),
            ("Parameters", _listed(info.parameters)),
            ("Labels", _listed(info.labels)),
            ("Created", screen.ago(info.created_at)),
            ("Started", screen.ago(info.started_at)),
            ("Last used", screen.ago(info.last_used_at)),
            ("Stops", screen.ago(info.stop_at)),
            ("Deleted", screen.ago(info.expires_at)),
            ("Ports", _ports(info)),
            *((f"URL {name}", url) for name, url in info.urls.items()),
            ("CPU time", f"{usage.cpu_seconds:.1f} s" if usage else ""),
            ("Memory", f"{usage.memory_mib} MiB" if usage else ""),
            ("Disk", f"{usage.disk_mib} MiB" if usage else ""),
        ]
    )


def start(workspace: WorkspaceName, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Start a workspace."""
    with connect() as api:
        one = api.workspaces.get(workspace).start(wait=False)
        told(one, None if no_wait else goal_of("ready"), as_json=as_json, verb="is running")


def stop(workspace: WorkspaceName, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Stop a workspace; its home stays, an ephemeral one is deleted."""
    with connect() as api:
        one = api.workspaces.get(workspace).stop(wait=False)
        told(one, None if no_wait else goal_of("stopped"), as_json=as_json, verb="is stopped")


def restart(workspace: WorkspaceName, no_wait: NoWait = False, as_json: Json = False) -> None:
    """Stop and start a workspace; applies changes that wait for it."""
    with connect() as api:
        one = api.workspaces.get(workspace).restart(wait=False)
        told(one, None if no_wait else goal_of("ready"), as_json=as_json, verb="is running")


def update(
    workspace: WorkspaceName,
    name: Annotated[str | None, typer.Option("--name", help="A new name.")] = None,
    parameter: Parameter = None,
    ttl: Annotated[
        str | None, typer.Option("--ttl", help="From now to deletion: 4h, or never.")
    ] = None,
    template_version: Annotated[int | None, typer.Option("--template-version", min=1)] = None,
    label: Label = None,
    cpu: Annotated[float | None, typer.Option("--cpu", help="Cores; at once.")] = None,
    memory: Annotated[str | None, typer.Option("--memory", help="Such as 4Gi; at once.")] = None,
    disk: Annotated[str | None, typer.Option("--disk", help="Larger only.")] = None,
    on_expiry: OnExpiry = None,
    idle_stop: IdleStop = None,
    on_idle: OnIdle = None,
    auto_resume: AutoResume = None,
    as_json: Json = False,
) -> None:
    """Change a workspace; its home stays. Some changes wait for `alcove restart`."""
    from alcove.sdk import NEVER  # noqa: PLC0415

    resources = {"cpu": cpu, "memory": memory, "disk": disk}
    wanted = {key: value for key, value in resources.items() if value is not None}
    ends = (on_expiry, idle_stop, on_idle)
    if not any((name, parameter, ttl, template_version, label, wanted, *ends)) and (
        auto_resume is None
    ):
        raise typer.BadParameter("say what to change, for example --ttl 8h")
    with connect() as api:
        one = api.workspaces.get(workspace)
        values = pairs(parameter or [], option="--parameter")
        asked = api.templates.parameters(one.template) if values else ()
        labels = pairs(label, option="--label") if label else None
        one.update(
            name=name,
            parameters=typed(values, asked) or None,
            ttl=NEVER if ttl in NEVER_WORDS else ttl,
            template_version=template_version,
            labels={**one.info.labels, **labels} if labels else None,
            resources=wanted or None,
            on_expiry=on_expiry.value if on_expiry else None,
            idle_stop=idle_stop,
            on_idle=on_idle.value if on_idle else None,
            auto_resume=auto_resume,
        )
        if as_json:
            screen.print_json(one.info)
            return
        screen.say_done(f"changed {one.name}")
        if one.reason:
            screen.say(one.reason)


def delete(
    workspaces: Annotated[
        list[str],
        typer.Argument(metavar="WORKSPACE…", autocompletion=complete_workspaces),
    ],
    yes: Yes = False,
    no_wait: NoWait = False,
    as_json: Json = False,
) -> None:
    """Delete workspaces and everything in them."""
    worst = 0
    deleted: list[Info] = []
    with connect() as api:
        for ref in workspaces:
            try:
                one = api.workspaces.get(ref)
                if yes or _confirmed(one.info):
                    _delete_one(one, wait=not no_wait)
                    deleted.append(one.info)
                else:
                    screen.say(f"{one.name} stays")
            except AlcoveError as error:
                if len(workspaces) == 1:
                    raise
                worst = max(worst, _reported(error))
    if as_json:
        screen.print_json({"items": deleted})
    raise typer.Exit(worst)


def _delete_one(one: "Workspace", *, wait: bool) -> None:
    one.delete()
    if wait:
        with screen.progress(f"{one.name}: deleting") as shown:
            for info in one.changes(goal_of("deleted")):
                shown.say(progress_line(info))
    screen.say_done(f"{one.name} is {'gone' if wait else 'being deleted'}")


def _confirmed(info: "Info") -> bool:
    if not sys.stdin.isatty():
        raise Invalid(f"deleting {info.name} loses what is in it: pass --yes to do it unasked")
    used = f" ({info.usage.disk_mib} MiB)" if info.usage else ""
    lost = "Everything in it" if info.ephemeral else f"Its home{used} and everything else in it"
    screen.say(f"{info.owner}/{info.name}, from {info.template}, {screen.ago(info.created_at)}.")
    return typer.confirm(f"Delete it? {lost} is lost.", err=True)


def _reported(error: AlcoveError) -> int:
    from alcove.cli.main import exit_code, report  # noqa: PLC0415 - main imports us

    report(error, as_json=False)
    return exit_code(error)


def _wakes(info: "Info") -> str:
    return ", woken by use" if info.auto_resume else ""


def _why(info: "Info") -> str:
    if info.phase == "running":
        return "" if info.health == "ok" else info.health
    return info.reason


def _ends(info: "Info") -> str:
    moments = [moment for moment in (info.stop_at, info.expires_at) if moment is not None]
    first = min(moments, default=None)
    if first is None or first - system_clock() > ENDS_SHOWN or info.phase == "deleted":
        return ""
    return ("stops " if first == info.stop_at else "deleted ") + screen.ago(first)


def _ports(info: "Info") -> str:
    return ", ".join(dict.fromkeys(f"{p.port} {p.process or ''}".strip() for p in info.ports))


def _listed(values: dict[str, object] | dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(values.items()))
