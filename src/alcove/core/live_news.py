"""What servers on one PostgreSQL tell each other of their live sessions, as notifications.

Nothing is stored. A server tells of what changed since the last time, and of everything now and
then and when another one comes (`hello`); who is silent for `BELIEVED_S` has none. An ending that
is asked of one server is passed on to the one that has the connection.

One message is JSON: `from`, and any of `hello`, `live` (sessions), `gone` (ids), `end` (id to
reason).
"""

import json
import logging
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any, Final

import anyio
from pydantic import TypeAdapter, ValidationError

from alcove.core.app import Core
from alcove.model.errors import Unavailable
from alcove.model.live_session import LiveSession
from alcove.store.notifications import PAYLOAD_MAX, listen, notify

log = logging.getLogger(__name__)

CHANNEL: Final = "alcove_live"
TELL_EVERY_S: Final = 0.25
ALL_EVERY_S: Final = 10.0
BELIEVED_S: Final = 30.0
RECONNECT_S: Final = 1.0
assert BELIEVED_S > 2 * ALL_EVERY_S
_SESSION: Final[TypeAdapter[LiveSession]] = TypeAdapter(LiveSession)


class Teller:
    """What this server has told the others."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._told: dict[str, LiveSession] = {}
        self._all_at = 0.0

    async def run(self) -> None:
        """Tell and hear, until cancelled."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._hear)
            while True:
                try:
                    await self.tell()
                except Unavailable:
                    self.all_again()
                await anyio.sleep(TELL_EVERY_S)

    def all_again(self) -> None:
        """Somebody may have missed what was told."""
        self._told = {}

    async def tell(self) -> None:
        """What changed since the last time. Raises Unavailable; then nothing counts as told."""
        if anyio.current_time() >= self._all_at:
            self.all_again()
            self._all_at = anyio.current_time() + ALL_EVERY_S
        live = self._core.live
        now = {one.id: one for one in live.here()}
        gone = [id for id in self._told if id not in now]
        fresh = [one for id, one in now.items() if self._told.get(id) != one]
        endings = dict(live.endings)
        if gone or fresh or endings:
            await self._send(messages(live.server, fresh, gone, endings))
        self._told = now
        for id in endings:
            live.endings.pop(id, None)

    async def _hear(self) -> None:
        hello = json.dumps({"from": self._core.live.server, "hello": 1})
        while True:
            try:
                async for said in listen(self._core.db, CHANNEL):
                    if said:
                        self.heard(said)
                    else:
                        await self._send([hello])
            except Unavailable as error:
                log.warning("other servers' live sessions are not known: %s", error)
            await anyio.sleep(RECONNECT_S)

    def heard(self, text: str) -> None:
        """One message, of whoever may write to the database. What is none of ours is left out."""
        try:
            said: dict[str, Any] = json.loads(text)
            server = str(said["from"])
            found = [_SESSION.validate_python(one) for one in said.get("live", ())]
            gone = [str(id) for id in said.get("gone", ())]
            endings = {str(id): str(why) for id, why in dict(said.get("end", {})).items()}
        except (ValidationError, ValueError, KeyError, TypeError, AttributeError):
            log.warning("a message about live sessions cannot be read")
            return
        live = self._core.live
        if server == live.server:
            return
        if said.get("hello"):
            self.all_again()
        until = self._core.clock() + timedelta(seconds=BELIEVED_S)
        for one in found:
            if one.server == server:
                live.hear(one, until=until)
        for id in gone:
            live.forget(id, server)
        ours = {one.id for one in live.here()}
        for id in ours & endings.keys():
            live.end(id, endings[id])

    async def _send(self, texts: Sequence[str]) -> None:
        async with self._core.db.transaction() as tx:
            for text in texts:
                await notify(tx, CHANNEL, text)


def messages(
    server: str, fresh: Sequence[LiveSession], gone: Sequence[str], endings: dict[str, str]
) -> list[str]:
    """As few as hold all of it."""
    return [
        *_packed(server, "live", [_SESSION.dump_python(one, mode="json") for one in fresh]),
        *_packed(server, "gone", gone),
        *(json.dumps({"from": server, "end": {id: why}}) for id, why in endings.items()),
    ]


def _packed(server: str, what: str, items: Sequence[object]) -> Iterator[str]:
    room = PAYLOAD_MAX - len(json.dumps({"from": server, what: []}))
    batch: list[object] = []
    size = 0
    for item in items:
        more = len(json.dumps(item)) + 2
        if more > room:
            log.warning("a live session is too large to tell of")
            continue
        if size + more > room:
            yield json.dumps({"from": server, what: batch})
            batch, size = [], 0
        batch.append(item)
        size += more
    if batch:
        yield json.dumps({"from": server, what: batch})


async def run(core: Core) -> None:
    """Until cancelled. With SQLite there is one server, which knows its own."""
    await Teller(core).run()
