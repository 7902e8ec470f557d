"""SQLite on the event loop's own thread: a statement is done when it is asked for.

A read by key takes SQLite tens of microseconds; handing it to a thread and back takes many times
that. What may take long has no place here and goes through a driver with threads
(`Database.scan`). Only a file that another program is writing to is waited for, without holding
up the event loop.
"""

import sqlite3
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from time import monotonic
from typing import Any, Final, TypeAlias, TypeVar

import anyio
from sqlalchemy import (
    Connection,
    CursorResult,
    Dialect,
    Executable,
    NullPool,
    create_engine,
    event,
)
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError, OperationalError

BUSY_TIMEOUT_S: Final = 5.0
CHECKPOINT_COMMITS: Final = 500
"""Commits after which the log is worth copying into the file."""
_READ_WAIT_MS: Final = 100
"""For what hardly happens: a file that was not closed well is being put in order."""
_LOG_PAGES_MAX: Final = 16_384
"""Of 4 KiB, where nobody copies the log beside everything else (`Database.checkpoints`)."""
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.001, 0.05
_T = TypeVar("_T")
_Rows: TypeAlias = CursorResult[*tuple[Any, ...]]


class InPlace:
    """The part of SQLAlchemy's `AsyncConnection` that the store uses, done at once."""

    __slots__ = ("_connection", "appended")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.appended = False

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    async def execute(self, statement: Executable, parameters: Any = None) -> _Rows:
        return self._connection.execute(statement, parameters)

    async def exec_driver_sql(self, statement: str) -> _Rows:
        return self._connection.exec_driver_sql(statement)

    def begin_nested(self) -> AbstractAsyncContextManager[None]:
        return self._nested()

    async def run_sync(self, work: Callable[[Connection], _T]) -> _T:
        return work(self._connection)

    @asynccontextmanager
    async def _nested(self) -> AsyncGenerator[None]:
        with self._connection.begin_nested():
            yield


class Sqlite:
    """One connection that reads and one that writes, kept open; opened again after a failure."""

    def __init__(self, url: URL, count: Callable[..., None]) -> None:
        self._engine = create_engine(
            url.set(drivername="sqlite"),
            poolclass=NullPool,
            hide_parameters=True,  # errors go to the log; what a statement was given does not
            connect_args={
                "timeout": BUSY_TIMEOUT_S,
                "isolation_level": None,
                "check_same_thread": False,
            },
        )
        event.listen(self._engine, "connect", prepare)
        event.listen(self._engine, "before_cursor_execute", count)
        self._reader: Connection | None = None
        self._writer: Connection | None = None
        self.turn = anyio.Lock(fast_acquire=True)
        self._commits = 0
        self._much = anyio.Event()

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[InPlace]:
        if self._reader is None:
            self._reader = self._open("PRAGMA query_only=ON", _READ_WAIT_MS)
        try:
            yield InPlace(self._reader)
        except DBAPIError:
            self._reader = None  # whoever else reads goes on with the one they have
            raise

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[InPlace]:
        """To be entered by one at a time: in `turn`."""
        if self._writer is None:
            self._writer = self._open(f"PRAGMA wal_autocheckpoint={_LOG_PAGES_MAX}", 0)
        try:
            with self._writer.begin():
                await _begin(self._writer)
                yield InPlace(self._writer)
        except DBAPIError:
            self._writer.close()
            self._writer = None
            raise
        self._commits += 1
        if self._commits >= CHECKPOINT_COMMITS:
            self._much.set()

    async def much_written(self) -> None:
        """Returns after `CHECKPOINT_COMMITS` commits."""
        await self._much.wait()
        self._commits, self._much = 0, anyio.Event()

    def close(self) -> None:
        for connection in (self._reader, self._writer):
            if connection is not None:
                connection.close()
        self._reader = self._writer = None

    def _open(self, pragma: str, wait_ms: int) -> Connection:
        connection = self._engine.connect()
        cursor = connection.connection.cursor()
        cursor.execute(pragma)
        cursor.execute(f"PRAGMA busy_timeout={wait_ms}")
        cursor.close()
        return connection


def prepare(connection: Any, _: object) -> None:
    """For every new connection, whatever its driver."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


async def _begin(connection: Connection) -> None:
    ends, wait = monotonic() + BUSY_TIMEOUT_S, _FIRST_WAIT_S
    while True:
        try:
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        except OperationalError as error:
            busy = getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_BUSY
            if not busy or monotonic() > ends:
                raise
        else:
            return
        await anyio.sleep(wait)
        wait = min(wait * 2, _LONGEST_WAIT_S)
