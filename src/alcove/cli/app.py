"""All commands under one name. A command is a function in the file of its noun."""

from typing import Annotated

import typer

from alcove.cli import (
    bench,
    completion,
    cp,
    events,
    exec_outputs,
    execs,
    keys,
    live_sessions,
    login,
    machine,
    mcp,
    pools,
    ports,
    recordings,
    snapshots,
    ssh,
    ssh_config,
    sync,
    templates,
    terminal,
    tokens,
    top,
    users,
    workspaces,
)

app = typer.Typer(
    name="alcove",
    help="Development environments for people and coding agents, on your own machines.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    rich_markup_mode="rich",
)


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", "-V", help="Show the version and exit.")
    ] = False,
) -> None:
    """Development environments for people and coding agents, on your own machines."""
    if version:
        from alcove.sdk.version import VERSION  # noqa: PLC0415

        typer.echo(f"alcove {VERSION}")
        raise typer.Exit


_KINDS = {"exec": execs.ExecCommand, "ssh": ssh.SshCommand}
_WORK, _CATALOG, _SERVER = "Workspaces", "Templates, people, tokens", "Server"

for command, name, panel in (
    (workspaces.create, "create", _WORK),
    (workspaces.list_, "list", _WORK),
    (workspaces.show, "show", _WORK),
    (top.top, "top", _WORK),
    (workspaces.start, "start", _WORK),
    (workspaces.stop, "stop", _WORK),
    (workspaces.restart, "restart", _WORK),
    (snapshots.pause, "pause", _WORK),
    (snapshots.resume, "resume", _WORK),
    (snapshots.fork, "fork", _WORK),
    (workspaces.update, "update", _WORK),
    (workspaces.delete, "delete", _WORK),
    (execs.exec_, "exec", _WORK),
    (ssh.ssh, "ssh", _WORK),
    (terminal.terminal, "terminal", _WORK),
    (ssh_config.config_ssh, "config-ssh", _WORK),
    (cp.cp, "cp", _WORK),
    (sync.sync, "sync", _WORK),
    (ports.open_, "open", _WORK),
    (ports.port_forward, "port-forward", _WORK),
    (events.logs, "logs", _WORK),
    (events.events, "events", _WORK),
    (login.login, "login", _SERVER),
    (login.logout, "logout", _SERVER),
    (login.status, "status", _SERVER),
    (mcp.mcp, "mcp", _SERVER),
    (bench.bench, "bench", _SERVER),
    (machine.up, "up", _SERVER),
    (machine.down, "down", _SERVER),
    (machine.doctor, "doctor", _SERVER),
    (machine.login_link, "login-link", _SERVER),
    (completion.completion, "completion", _SERVER),
):
    app.command(name, cls=_KINDS.get(name), rich_help_panel=panel)(command)

for program in ("server", "host"):
    app.command(
        program,
        rich_help_panel=_SERVER,
        add_help_option=False,
        hidden=program == "host",
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
        short_help=machine.PROGRAMS[program],
    )(machine.program)
for group, name in (
    (templates.app, "template"),
    (pools.app, "pool"),
    (ports.app, "port"),
    (snapshots.app, "snapshot"),
    (live_sessions.app, "sessions"),
    (recordings.app, "recordings"),
    (exec_outputs.app, "exec-outputs"),
    (tokens.app, "token"),
    (keys.app, "key"),
    (users.app, "user"),
):
    app.add_typer(group, name=name, rich_help_panel=_CATALOG)
