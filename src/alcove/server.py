"""The composition root of `alcove server`: settings, rights, database, driver, core, HTTP.

One anyio task group holds everything that runs; SIGTERM ends it in order: no new connections,
requests under way come to their end, then the loops, then what is still to be written.
"""

import argparse
import gc
import grp
import importlib
import logging
import os
import pwd
import secrets
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points, version
from pathlib import Path
from typing import Any, Final

import anyio
import structlog
from prometheus_client import disable_created_metrics

from alcove import config, logs
from alcove.api import local
from alcove.api.app import create_app
from alcove.config import Settings
from alcove.core import identity, service, users
from alcove.core.app import Core
from alcove.core.bus import EVENTS
from alcove.core.condition import Listener
from alcove.drivers.base import Driver
from alcove.drivers.fake import FakeDriver
from alcove.gateway import endpoint as ssh
from alcove.gateway.server import Gateway
from alcove.http.addresses import link_url
from alcove.http.listener import HttpServer, http_server
from alcove.http.tls import Certificate
from alcove.mcp import endpoint as mcp
from alcove.model.errors import AlcoveError, Invalid
from alcove.store.db import Database
from alcove.store.migrate import migrate
from alcove.web.routes import PAGES

SECRET_BYTES: Final = 32
TIDY_EVERY_S: Final = 60.0
COLLECT_AFTER: Final = 10_000
"""Objects made and not yet gone."""
RESTART_AFTER_S: Final = 1.0
LATE_IMPORTS: Final = (
    "aiosqlite",
    "alembic.runtime.migration",
    "anyio._backends._asyncio",
    "concurrent.futures.thread",
    "email.message",
    "encodings.idna",
    "httptools",
    "sqlalchemy.dialects.sqlite.aiosqlite",
    "uvicorn.lifespan.off",
    "uvicorn.loops.auto",
    "uvicorn.protocols.websockets.websockets_sansio_impl",
    "uvloop",
)
LATE_IMPORTS_OF_POSTGRESQL: Final = (
    "psycopg.pq",
    "psycopg.sql",
    "psycopg_binary",
    "sqlalchemy.dialects.postgresql.psycopg",
)
_log = structlog.get_logger("alcove.server")


def main(argv: Sequence[str]) -> int:
    """`alcove server`: serve until SIGTERM or SIGINT. Answers the exit code."""
    given = _flags().parse_args(argv[1:])
    try:
        settings = config.load(
            flags={
                "http_address": given.http_address,
                "ssh_address": given.ssh_address,
                "data_dir": given.data_dir,
                "database_url": given.database_url,
                "driver": given.driver,
                "log_format": given.log_format,
            },
            config_file=given.config,
        )
        logs.configure(settings.log_format)
        # When each series began is noise that doubles the page.
        disable_created_metrics()
        driver = build_driver(settings)
        opened = _opened(settings)
        _prepare(settings, user=given.user, allow_root=given.allow_root)
    except (AlcoveError, OSError) as error:
        sys.stderr.write(f"alcove server: {error}\n")
        return 2
    anyio.run(_serve, settings, driver, opened, backend_options={"use_uvloop": True})
    return 0


def build_driver(settings: Settings) -> Driver:
    """The driver that the settings name. Raises Invalid, naming those that there are."""
    if settings.driver == "fake":
        return FakeDriver(recalls=True)
    found = entry_points(group="alcove.drivers")
    for point in found:
        if point.name == settings.driver:
            make: Callable[[Path], Driver] = point.load()
            return make(settings.run_dir)
    names = ", ".join(sorted({point.name for point in found} | {"fake"}))
    raise Invalid(f"driver: there is no {settings.driver!r}; there is {names}")


@dataclass(frozen=True, slots=True)
class _Opened:
    """What takes the rights that the server gives up before it serves anybody."""

    http: socket.socket
    ssh: socket.socket | None
    certificate: Certificate | None


def _opened(settings: Settings) -> _Opened:
    certificate = None
    if settings.tls_certificate:
        certificate = Certificate(Path(settings.tls_certificate), Path(settings.tls_key))
    return _Opened(
        _listen("http_address", settings.http_address),
        _listen("ssh_address", settings.ssh_address) if settings.ssh_address else None,
        certificate,
    )


async def _serve(settings: Settings, driver: Driver, opened: _Opened) -> None:
    db = Database(settings.database)
    await migrate(db)
    core = Core.build(
        settings=settings,
        driver=driver,
        secret=_secret(settings.server_dir / "secret.key"),
        db=db,
    )
    logging.getLogger().addHandler(Listener(core.condition.note))
    await users.ensure_first(core)
    gateway = Gateway(core)
    pages = (*PAGES, mcp.routes(link_url=link_url), ssh.routes(gateway))
    certificate = opened.certificate
    tls = certificate.context if certificate else None
    server = http_server(create_app(core, pages=pages), tls=tls)
    running = {**loops(core), "ssh": lambda: gateway.serve(opened.ssh)}
    if certificate is not None:
        running["tls"] = certificate.keep
    try:
        async with anyio.create_task_group() as tasks:
            for name, loop in running.items():
                tasks.start_soon(_kept_up, core, name, loop)
            tasks.start_soon(_until_told, core, server)
            _spare_the_collector()
            _log.info("ready", address=settings.http_address, version=version("alcove"))
            await server.serve(sockets=[opened.http])
            tasks.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True), anyio.move_on_after(10):
            await core.journal.flush(core)
            await core.aclose()
        settings.admin_socket.unlink(missing_ok=True)
    _log.info("stopped")


def _spare_the_collector() -> None:
    """What was loaded to get here stays; to walk all of it again and again would hold up
    requests, and most of what a request makes is gone without the collector."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER, 20, 50)


def loops(core: Core) -> dict[str, Callable[[], Awaitable[Any]]]:
    """What runs beside HTTP, by name."""
    return {
        **service.loops(core),
        "tidy": lambda: _tidy(core),
        "local": lambda: local.serve(core, core.settings.admin_socket),
    }


async def _kept_up(core: Core, name: str, loop: Callable[[], Awaitable[Any]]) -> None:
    """Run a loop for ever. One that falls is started again, and takes nobody with it."""
    while True:
        core.condition.begun(name, core.clock())
        try:
            await loop()
        except AlcoveError as error:
            core.condition.fell(name, str(error))
            _log.warning("interrupted", loop=name, error=str(error))
        except Exception as error:
            core.condition.fell(name, f"{type(error).__name__}: {error}")
            _log.exception("fell", loop=name)
        await anyio.sleep(RESTART_AFTER_S)


async def _tidy(core: Core) -> None:
    while True:
        await anyio.sleep(TIDY_EVERY_S)
        await identity.tidy(core)


async def _until_told(core: Core, server: HttpServer) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            _log.info("stopping", signal=signal.Signals(number).name)
            core.gate.closing = True
            core.bus.wake(EVENTS)
            server.should_exit = True


def _flags() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="alcove server", description="Serve the API and the web interface."
    )
    parser.add_argument("--http-address", help="where to listen (127.0.0.1:7080)")
    parser.add_argument(
        "--ssh-address", help="where the SSH gateway listens (127.0.0.1:7022); empty: nowhere"
    )
    parser.add_argument("--data-dir", help="where everything is kept (/var/lib/alcove)")
    parser.add_argument("--database-url", help="PostgreSQL instead of SQLite in the data dir")
    parser.add_argument("--config", help="a TOML file with settings (ALCOVE_CONFIG)")
    parser.add_argument("--driver", help="local, or fake for trying the API out")
    parser.add_argument("--log-format", choices=["auto", "json", "text"])
    parser.add_argument("--user", help="started as root: become this user")
    parser.add_argument(
        "--allow-root", action="store_true", help="stay root (a container that is all it has)"
    )
    return parser


def _listen(setting: str, address: str) -> socket.socket:
    """Bound before rights are dropped, so that a low port works too."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65535:
        raise Invalid(f"{setting}: {address!r} is not HOST:PORT, such as 127.0.0.1:7080")
    host = host.strip("[]") or "0.0.0.0"
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {address}: {error.strerror}") from None
    return listener


def _prepare(settings: Settings, *, user: str | None, allow_root: bool) -> None:
    """Directories, and the rights of an ordinary user. Everything is imported by now, so that
    code which only root can read has been read."""
    os.umask(0o077)
    if os.geteuid() != 0:
        if user is not None and pwd.getpwuid(os.geteuid()).pw_name != user:
            raise Invalid(f"--user {user}: only root can become another user")
        _make_directories(settings, owner=None)
        return
    if user is None and not allow_root:
        raise Invalid(
            "the server faces the network and does not run as root: "
            f"add --user {settings.server_user}, or start it as that user"
        )
    owner = None if user is None else _account(user)
    _make_directories(settings, owner=owner)
    if owner is not None:
        assert user is not None
        _import_early(settings)
        _drop_rights(user, owner)


def _import_early(settings: Settings) -> None:
    """Load what libraries import only when it is first used: after the rights are dropped a
    checkout or an interpreter in root's home can no longer be read."""
    late = () if settings.database.startswith("sqlite") else LATE_IMPORTS_OF_POSTGRESQL
    for name in (*LATE_IMPORTS, *late):
        importlib.import_module(name)


def _account(user: str) -> tuple[int, int]:
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise Invalid(f"--user {user}: there is no such user on this machine") from None
    if account.pw_uid == 0:
        raise Invalid(f"--user {user}: that is root")
    return account.pw_uid, account.pw_gid


def _make_directories(settings: Settings, *, owner: tuple[int, int] | None) -> None:
    for path, mode in (
        (settings.data_dir, 0o755),
        (settings.server_dir, 0o700),
        (settings.run_dir, 0o755),
    ):
        if path.is_dir():
            continue
        path.mkdir(parents=True, mode=mode)
        path.chmod(mode)
        if owner is not None and path == settings.server_dir:
            os.chown(path, *owner)


def _drop_rights(user: str, owner: tuple[int, int]) -> None:
    uid, gid = owner
    os.setgroups(sorted({gid, *(g.gr_gid for g in grp.getgrall() if user in g.gr_mem)}))
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)
    # A process that has changed its uid is not dumpable; that stays so on purpose.
    assert os.getresuid() == (uid, uid, uid)


def _secret(path: Path) -> bytes:
    """32 random bytes, made at the first start; from them the agents' control keys are derived."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        found = path.read_bytes()
        if len(found) != SECRET_BYTES:
            raise Invalid(f"{path} is damaged: it must hold {SECRET_BYTES} bytes") from None
        return found
    with os.fdopen(descriptor, "wb") as file:
        fresh = secrets.token_bytes(SECRET_BYTES)
        file.write(fresh)
        file.flush()
        os.fsync(descriptor)
    return fresh
