"""PostgreSQL's LISTEN: being woken by what other servers commit."""

from collections.abc import AsyncGenerator

import psycopg

from alcove.model.errors import Unavailable
from alcove.store.db import CONNECT_TIMEOUT_S, Database
from alcove.store.events import CHANNEL


async def listen(db: Database) -> AsyncGenerator[None]:
    """Yields once when listening has begun, and then for each commit that appended events.

    Raises Unavailable when the connection is lost; what was missed meanwhile is in the table.
    """
    conninfo = db.url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = await psycopg.AsyncConnection.connect(
            conninfo,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="alcove-listen",
        )
        async with connection:
            await connection.execute(f"LISTEN {CHANNEL}")  # pyright: ignore[reportArgumentType]
            yield
            async for _ in connection.notifies():
                yield
    except psycopg.OperationalError as error:
        raise Unavailable(f"the database cannot be listened to: {error}") from error
