"""SSH through the WebSocket: the bearer token is the proof, and OpenSSH never knows."""

import shlex
import sys
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus
from websockets.typing import Origin

from alcove.api.app import create_app
from alcove.core import ssh_ca, tokens
from alcove.core.proofs import SecretKind, new_secret
from alcove.gateway import endpoint
from alcove.model.access import Actor
from alcove.model.identity import Token
from alcove.model.workspace import WorkspaceId
from alcove.store import tokens as stored
from tests.api.served import listening
from tests.core.world import ADA, BOB, SECRET
from tests.gateway.reached import Reached, Said, run

HOST = "api.alcove"


@dataclass
class Carried:
    """The gateway behind HTTP alone."""

    gate: Reached
    url: str

    async def token(
        self, actor: Actor = ADA, *, workspace: WorkspaceId | None = None
    ) -> tuple[str, str]:
        """Its secret and its id."""
        secret = new_secret(SecretKind.TOKEN)
        made = Token(secret.id, actor.id, "x", None, workspace, self.gate.clock(), None, None)
        async with self.gate.core.db.transaction() as tx:
            await stored.add(tx, made, secret_sha256=secret.sha256)
        return secret.text, secret.id

    def command(self, token: str, ref: str, *words: str) -> list[str]:
        """OpenSSH, with `alcove ssh --stdio` below it."""
        proxy = shlex.join([str(Path(sys.executable).with_name("alcove")), "ssh", "--stdio", ref])
        known = self.gate.home / "known"
        known.write_text(f"{HOST} {ssh_ca.host_public_key(SECRET)}\n")
        return [
            *("env", f"ALCOVE_URL={self.url}", f"ALCOVE_TOKEN={token}"),
            f"XDG_CONFIG_HOME={self.gate.home}",
            *("ssh", "-F", "none", "-o", f"ProxyCommand={proxy}", "-o", "IdentityFile=none"),
            *("-o", f"UserKnownHostsFile={known}", "-o", "StrictHostKeyChecking=yes"),
            *("-o", "IdentityAgent=none", "-l", "whoever", HOST, *words),
        ]

    async def ssh(self, token: str, ref: str, *words: str, input: bytes = b"") -> Said:
        return await run(*self.command(token, ref, *words), input=input, check=False)


@pytest.fixture
async def carried(gate: Reached) -> AsyncGenerator[Carried]:
    app = create_app(gate.core, pages=[endpoint.routes(gate.gateway)])
    async with listening(app) as url:
        yield Carried(gate, url)


async def test_openssh_comes_in_by_a_token_alone(carried: Carried) -> None:
    await carried.gate.workspace("api")
    token, _ = await carried.token()
    sent = bytes(range(256)) * 4000
    said = await carried.ssh(token, "api", "cat; exit 3", input=sent)
    assert (said.code, said.out) == (3, sent), said.err
    (opened,) = await carried.gate.told("session.opened")
    assert (opened.detail["method"], opened.actor) == ("token", ADA.id)


async def test_a_revoked_token_ends_it_within_a_second(carried: Carried) -> None:
    await carried.gate.workspace("api")
    token, id = await carried.token()
    async with await anyio.open_process(
        carried.command(token, "api", "echo up; exec sleep 1000")
    ) as process:
        assert process.stdout is not None
        await process.stdout.receive()
        before = carried.gate.clock()
        await tokens.revoke(carried.gate.core, ADA, id)
        await process.wait()
        assert carried.gate.clock() - before < timedelta(seconds=3)


async def test_the_upgrade_names_the_host_keys(carried: Carried) -> None:
    await carried.gate.workspace("api")
    token, _ = await carried.token()
    url = f"{carried.url}/api/v2/ssh?workspace=api".replace("http", "ws", 1)
    head = {"authorization": f"Bearer {token}"}
    async with connect(url, additional_headers=head, compression=None) as socket:
        assert socket.response is not None
        assert socket.response.headers["alcove-host-key"] == ssh_ca.host_public_key(SECRET)
        assert (await socket.recv())[:4] == b"SSH-"


@pytest.mark.parametrize(
    ("actor", "query", "status"),
    [(BOB, "workspace=ada%2Fapi", 404), (ADA, "workspace=none", 404), (ADA, "workspce=api", 422)],
)
async def test_what_is_refused_is_refused_before_the_upgrade(
    carried: Carried, actor: Actor, query: str, status: int
) -> None:
    await carried.gate.workspace("api")
    token, _ = await carried.token(actor)
    url = f"{carried.url}/api/v2/ssh?{query}".replace("http", "ws", 1)
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url, additional_headers={"authorization": f"Bearer {token}"}):
            pass
    assert refused.value.response.status_code == status


async def test_without_a_token_there_is_no_way_in(carried: Carried) -> None:
    url = f"{carried.url}/api/v2/ssh?workspace=api"
    with pytest.raises(InvalidStatus) as refused:
        async with connect(url.replace("http", "ws", 1)):
            pass
    assert refused.value.response.status_code == 401


async def test_a_page_of_another_site_does_not_come_in_by_a_cookie(carried: Carried) -> None:
    url = f"{carried.url}/api/v2/ssh?workspace=api"
    head = {"cookie": "alcove_session=als_" + "a" * 16 + "_" + "b" * 43}
    with pytest.raises(InvalidStatus) as refused:
        async with connect(
            url.replace("http", "ws", 1),
            origin=Origin("https://evil.example"),
            additional_headers=head,
        ):
            pass
    assert refused.value.response.status_code in {401, 403}
