"""Bring the database to the schema of this release, or back. One server at a time does it."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

from alcove.store.db import Database

_LOCK: Final = 0x616C636F7665
"""PostgreSQL's advisory lock: "alcove"."""


async def migrate(db: Database, *, revision: str = "head") -> None:
    """Upgrade to the revision, in one transaction. Safe to call from several servers at once."""
    async with db.transaction() as tx:
        if not db.sqlite:
            await tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        await tx.run_sync(lambda connection: command.upgrade(_config(connection), revision))


async def downgrade(db: Database, *, revision: str) -> None:
    """Go back; what only the newer schema could hold is lost."""
    async with db.transaction() as tx:
        if not db.sqlite:
            await tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        await tx.run_sync(lambda connection: command.downgrade(_config(connection), revision))


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
