"""The SQL about programs that wait to be let in. Functions take an open transaction and never
commit. Of the program's code only the SHA-256 is stored."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.functions import count

from alcove.model.identity import DeviceLogin, DeviceState
from alcove.model.workspace import UserId
from alcove.store.db import Tx
from alcove.store.schema import device_logins


async def add(tx: Tx, login: DeviceLogin, *, device_sha256: str) -> bool:
    """False when another one has this user code already."""
    try:
        async with tx.begin_nested():
            await tx.execute(
                insert(device_logins).values(
                    device_sha256=device_sha256,
                    user_code=login.user_code,
                    client=login.client,
                    address=login.address[:64],
                    state=login.state,
                    user_id=login.user,
                    created_at=login.created_at,
                    expires_at=login.expires_at,
                )
            )
    except IntegrityError:
        return False
    return True


async def count_all(tx: Tx, *, address: str | None = None) -> int:
    """How many there are; of one address, if it is given."""
    counted = select(count()).select_from(device_logins)
    if address is not None:
        counted = counted.where(device_logins.c.address == address[:64])
    return (await tx.execute(counted)).scalar_one()


async def by_user_code(tx: Tx, user_code: str) -> DeviceLogin | None:
    found = select(device_logins).where(device_logins.c.user_code == user_code)
    row = (await tx.execute(found)).one_or_none()
    return None if row is None else _load(row)


async def get(tx: Tx, device_sha256: str) -> DeviceLogin | None:
    found = select(device_logins).where(device_logins.c.device_sha256 == device_sha256)
    row = (await tx.execute(found)).one_or_none()
    return None if row is None else _load(row)


async def decide(
    tx: Tx, user_code: str, state: DeviceState, user: UserId, *, now: datetime
) -> bool:
    """Approve or deny what waits; False when it does not, or no longer. One statement, so that
    of two who decide at the same moment one does."""
    done = (
        update(device_logins)
        .where(
            device_logins.c.user_code == user_code,
            device_logins.c.state == DeviceState.PENDING,
            device_logins.c.expires_at > now,
        )
        .values(state=state, user_id=user)
        .returning(device_logins.c.user_code)
    )
    return (await tx.execute(done)).one_or_none() is not None


async def take_approved(tx: Tx, device_sha256: str, *, now: datetime) -> DeviceLogin | None:
    """Use an approval up, once, whoever else asks at the same moment."""
    done = (
        delete(device_logins)
        .where(
            device_logins.c.device_sha256 == device_sha256,
            device_logins.c.state == DeviceState.APPROVED,
            device_logins.c.expires_at > now,
        )
        .returning(*device_logins.c)
    )
    row = (await tx.execute(done)).one_or_none()
    return None if row is None else _load(row)


async def drop_expired(tx: Tx, *, now: datetime) -> None:
    await tx.execute(delete(device_logins).where(device_logins.c.expires_at <= now))


def _load(row: Row[Any]) -> DeviceLogin:
    return DeviceLogin(
        user_code=row.user_code,
        client=row.client,
        address=row.address,
        state=DeviceState(row.state),
        user=None if row.user_id is None else UserId(row.user_id),
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
