"""The database about itself. Functions take an open transaction and never commit."""

from sqlalchemy import text

from alcove.store.db import Tx


async def revision(tx: Tx) -> str:
    """The last migration that was applied; empty when none was."""
    found = await tx.execute(text("SELECT version_num FROM alembic_version"))
    return str(found.scalar_one_or_none() or "")


async def size_bytes(tx: Tx) -> int:
    """On disk, without what SQLite has in its write-ahead log."""
    if tx.dialect.name == "postgresql":
        query = "SELECT pg_database_size(current_database())"
    else:
        query = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    return int((await tx.execute(text(query))).scalar_one())
