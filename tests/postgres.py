"""A private PostgreSQL for tests, from the distribution's package, in a temporary directory.

It listens on a Unix socket only. `restart` and `kill` are real, so that tests can say what
happens to us when the database goes away.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Final

import psycopg

BINARIES: Final = "/usr/lib/postgresql/*/bin"
USER: Final = "postgres"


class Missing(Exception):
    """PostgreSQL's server programs are not installed."""


@dataclass
class Postgres:
    """One cluster; `database()` makes a fresh, empty database in it."""

    directory: Path
    _numbers: "count[int]" = field(default_factory=count)

    @classmethod
    def start_new(cls) -> "Postgres":
        """Initialise and start. Raises Missing, naming the package to install."""
        if not _binaries():
            raise Missing("PostgreSQL is not installed: apt-get install postgresql")
        directory = Path(tempfile.mkdtemp(prefix="alcove-pg-", dir="/tmp"))
        server = cls(directory)
        if os.geteuid() == 0:
            account = pwd.getpwnam(USER)
            os.chown(directory, account.pw_uid, account.pw_gid)
            # For servers that give up being root.
            directory.chmod(0o711)
        server._run("initdb", "-D", str(server.data), "-A", "trust", "-U", USER, "--no-sync")
        server.start()
        return server

    @property
    def data(self) -> Path:
        return self.directory / "data"

    def start(self) -> None:
        settings = (
            f"-k {self.directory} -c listen_addresses='' -c max_connections=200 "
            "-c shared_buffers=32MB -c fsync=off -c full_page_writes=off"
        )
        log = str(self.directory / "log")
        self._run("pg_ctl", "-D", str(self.data), "-w", "-o", settings, "-l", log, "start")

    def stop(self, *, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-D", str(self.data), "-w", "-m", mode, "stop")

    def restart(self) -> None:
        """As an operator would: connections are cut."""
        self.stop(mode="fast")
        self.start()

    def database(self, *, like: str = "template1") -> str:
        """Make a database, empty or a copy of one that nobody is connected to; answers its URL."""
        name = f"t{next(self._numbers)}"
        self._sql(f"CREATE DATABASE {name} TEMPLATE {_name(like)} STRATEGY WAL_LOG")
        return f"postgresql://{USER}@/{name}?host={self.directory}"

    def drop(self, url: str) -> None:
        self._sql(f"DROP DATABASE {_name(url)} WITH (FORCE)")

    def _sql(self, statement: str) -> None:
        where = f"host={self.directory} user={USER} dbname=postgres"
        with psycopg.connect(where, autocommit=True) as connection:
            connection.execute(statement.encode())

    def remove(self) -> None:
        try:
            self.stop()
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        [binaries] = _binaries()[-1:]
        as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*as_user, str(binaries / program), *arguments],
            cwd="/tmp",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            timeout=60,
        )
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr.strip()}")


def _name(url: str) -> str:
    return url.split("@/")[-1].split("?")[0]


def _binaries() -> Sequence[Path]:
    """Oldest first."""
    found = Path("/usr/lib/postgresql").glob("*/bin")
    return sorted(found, key=lambda path: int(path.parent.name))
