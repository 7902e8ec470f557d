"""PostgreSQL's LISTEN and NOTIFY: being woken by what other servers commit."""

from collections.abc import AsyncGenerator
from typing import Final

from sqlalchemy import func, select

from alcove.model.errors import Unavailable
from alcove.store.db import CONNECT_TIMEOUT_S, Database, Tx
from alcove.store.events import CHANNEL

PAYLOAD_MAX: Final = 7_900
"""Bytes; PostgreSQL takes less than 8000."""


async def listen(db: Database, channel: str = CHANNEL) -> AsyncGenerator[str]:
    """Yields an empty text when listening has begun, and then the payload of each notification;
    on the channel of the events there is one for each commit that appended some.

    Raises Unavailable when the connection is lost; what was missed meanwhile is in the table.
    """
    # A tenth of the memory of a server that has SQLite and does without.
    import psycopg  # noqa: PLC0415
    from psycopg import sql  # noqa: PLC0415

    conninfo = db.url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await psycopg.AsyncConnection.connect(
            conninfo,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="alcove-listen",
        )
        async with connection:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
            yield ""
            async for said in connection.notifies():
                yield said.payload
    except psycopg.OperationalError as error:
        raise Unavailable(f"the database cannot be listened to: {error}") from error


async def notify(tx: Tx, channel: str, payload: str) -> None:
    """Sent when the transaction commits; at most `PAYLOAD_MAX` bytes. PostgreSQL only."""
    await tx.execute(select(func.pg_notify(channel, payload)))
