"""Who gets in, and who does not: keys, certificates, and what looks like them."""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import (
    SSHCertificateBuilder,
    SSHCertificateType,
    load_ssh_public_key,
)

from alcove.core import ssh_ca, ssh_keys, users
from alcove.core import tokens as token_verbs
from alcove.core import workspaces as verbs
from alcove.core.users import UserChanges
from alcove.model.access import Permission
from alcove.model.workspace import Phase
from tests.core.world import ADA, BOB, ROOT, SECRET
from tests.gateway.reached import Reached, public, read_until, write

HOST = "127.0.0.1"
API = f"api@{HOST}"


async def test_a_certificate_lets_its_user_in(gate: Reached) -> None:
    await gate.workspace("api")
    key = await gate.key(owner=None)
    actor, token = await gate.token()
    await gate.certify(key, actor)
    said = await gate.ssh(API, "echo in")
    assert said.out == b"in\n", said.err
    (opened,) = await gate.told("session.opened")
    assert (opened.detail["method"], opened.actor) == ("certificate", ADA.id)
    assert token


async def test_a_key_that_nobody_has_is_refused(gate: Reached) -> None:
    await gate.workspace("api")
    await gate.key(owner=None)
    said = await gate.ssh(API, "echo in")
    assert said.code == 255
    assert "Permission denied (publickey)" in said.err


@pytest.mark.parametrize("name", ["api", "nosuch", "bob/his", "drop-table-users--"])
async def test_strangers_learn_nothing_of_what_there_is(gate: Reached, name: str) -> None:
    await gate.workspace("api")
    await gate.key(owner=None)
    said = await gate.ssh("-l", name, HOST, "echo in")
    assert said.err.endswith("Permission denied (publickey).\r\n")


async def test_what_is_not_the_callers_is_as_if_it_were_not_there(gate: Reached) -> None:
    await gate.key()
    await gate.workspace("his", BOB)
    there = await gate.ssh("-l", "bob/his", HOST, "echo in")
    absent = await gate.ssh("-l", "bob/has", HOST, "echo in")
    assert there.code == absent.code == 255
    assert "or it is not yours to see" in there.err
    assert there.err.replace("bob/his", "") == absent.err.replace("bob/has", "")


async def test_no_password_is_asked_for(ssh: Reached) -> None:
    said = await ssh.ssh("-o", "PubkeyAuthentication=no", API, "true")
    assert "Permission denied (publickey)." in said.err


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
async def test_other_strong_keys_get_in(gate: Reached, kind: str) -> None:
    await gate.workspace("api")
    await gate.key(kind=kind)
    assert (await gate.ssh(API, "echo in")).out == b"in\n"


async def test_an_rsa_key_does_not_sign_with_sha1(gate: Reached) -> None:
    await gate.workspace("api")
    await gate.key(kind="rsa")
    said = await gate.ssh("-o", "PubkeyAcceptedAlgorithms=ssh-rsa", API, "echo in")
    assert said.code == 255


def _made(**changed: Any) -> dict[str, Any]:
    return {"type": SSHCertificateType.USER, "principals": [b"u-ada"], "life_s": 300, **changed}


FORGED: dict[str, dict[str, Any]] = {
    "without principals": {"principals": []},
    "for everybody": {"principals": None},
    "of somebody else": {"principals": [b"u-bob"]},
    "with a comma": {"principals": [b"u-ada,u-root"]},
    "with a newline": {"principals": [b"u-ada\nu-root"]},
    "with two principals": {"principals": [b"u-ada", b"u-root"]},
    "a host's": {"type": SSHCertificateType.HOST},
    "expired": {"from_s": -600, "life_s": 300},
    "not yet valid": {"from_s": 600},
    "for ever": {"life_s": 10**9},
    "with a command": {"critical": {b"force-command": b"\0\0\0\4true"}},
    "with an unknown option": {"critical": {b"verify-required": b""}},
    "from elsewhere": {"critical": {b"source-address": b"\0\0\0\x0a10.0.0.0/8"}},
    "with an address that is none": {"critical": {b"source-address": b"\0\0\0\4here"}},
    "of another authority": {"ca": ed25519.Ed25519PrivateKey.generate()},
    "signed by the host key": {"ca": "host"},
    "without a credential": {"key_id": b"u-ada"},
    "by a credential that is not": {"key_id": b"u-ada nonesuch -"},
    "by somebody else's credential": {"key_id": b"u-root TOKEN -", "principals": [b"u-root"]},
}


def forge(gate: Reached, key: Path, credential: str, changed: dict[str, Any]) -> str:
    """A certificate signed by our authority, but for what is changed."""
    asked = _made(**changed)
    now = int(gate.clock().timestamp())
    begins = now + asked.get("from_s", -30)
    builder = (
        SSHCertificateBuilder()
        .public_key(load_ssh_public_key(public(key).encode()))  # pyright: ignore[reportArgumentType]
        .serial(1)
        .type(asked["type"])
        .key_id(asked.get("key_id", b"u-ada TOKEN -").replace(b"TOKEN", credential.encode()))
        .valid_after(begins)
        .valid_before(begins + asked["life_s"])
    )
    if asked["principals"]:
        builder = builder.valid_principals(asked["principals"])
    else:
        builder = builder.valid_for_all_principals()
    for name, value in asked.get("critical", {}).items():
        builder = builder.add_critical_option(name, value)
    ca = asked.get("ca", ssh_ca._key(SECRET, "ssh-ca"))  # pyright: ignore[reportPrivateUsage]
    if ca == "host":
        ca = ssh_ca._key(SECRET, "ssh-host")  # pyright: ignore[reportPrivateUsage]
    return builder.sign(ca).public_bytes().decode()


async def test_what_we_forge_gets_in_when_nothing_is_wrong_with_it(gate: Reached) -> None:
    """The control of the matrix below."""
    await gate.workspace("api")
    key = await gate.key(owner=None)
    _, credential = await gate.token()
    write(Path(f"{key}-cert.pub"), forge(gate, key, credential, {}) + "\n")
    assert (await gate.ssh(API, "echo in")).out == b"in\n"


async def test_a_certificate_for_this_address_gets_in(gate: Reached) -> None:
    await gate.workspace("api")
    key = await gate.key(owner=None)
    _, credential = await gate.token()
    option = {"critical": {b"source-address": b"\0\0\0\x0b127.0.0.0/8"}}
    write(Path(f"{key}-cert.pub"), forge(gate, key, credential, option) + "\n")
    assert (await gate.ssh(API, "echo in")).out == b"in\n"


@pytest.mark.parametrize("fault", FORGED)
async def test_a_certificate_with_a_fault_is_refused(gate: Reached, fault: str) -> None:
    await gate.workspace("api")
    key = await gate.key(owner=None)
    _, credential = await gate.token()
    write(Path(f"{key}-cert.pub"), forge(gate, key, credential, FORGED[fault]) + "\n")
    said = await gate.ssh(API, "echo in")
    assert (said.code, said.out) == (255, b"")
    assert "Permission denied" in said.err


async def test_a_certificate_signed_by_a_certificate_is_refused(gate: Reached) -> None:
    """Its authority's key is replaced by a certificate of ours (as of CVE-2025-49825)."""
    key = await gate.key(owner=None)
    _, credential = await gate.token()
    outer = base64.b64decode(forge(gate, key, credential, {}).split()[1])
    ours = base64.b64decode(ssh_ca.authority(SECRET).split()[1])
    at = outer.rindex(ours) - 4
    nested = outer[:at] + len(outer).to_bytes(4, "big") + outer + outer[at + 4 + len(ours) :]
    with pytest.raises(Exception, match="refused"):
        ssh_ca.check(SECRET, nested, address=HOST, now=gate.clock())


async def test_a_changed_certificate_is_refused(gate: Reached) -> None:
    key = await gate.key(owner=None)
    _, credential = await gate.token()
    data = bytearray(base64.b64decode(forge(gate, key, credential, {}).split()[1]))
    at = data.index(b"u-ada")
    data[at : at + 5] = b"u-bob"
    with pytest.raises(Exception, match="signature"):
        ssh_ca.check(SECRET, bytes(data), address=HOST, now=gate.clock())


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_clock_that_jumps_ends_certificates(gate: Reached, hours: int) -> None:
    await gate.workspace("api")
    key = await gate.key(owner=None)
    actor, _ = await gate.token()
    await gate.certify(key, actor)
    gate.clock.by += timedelta(hours=hours)
    said = await gate.ssh(API, "echo in")
    assert "Permission denied" in said.err


async def test_a_certificate_for_one_workspace_opens_that_one_alone(gate: Reached) -> None:
    await gate.workspace("api")
    await gate.workspace("web")
    key = await gate.key(owner=None)
    actor, _ = await gate.token()
    await gate.certify(key, actor, workspace="web")
    assert (await gate.ssh(f"web@{HOST}", "echo in")).out == b"in\n"
    assert "not yours to see" in (await gate.ssh(API, "echo in")).err


async def test_a_token_of_another_workspace_opens_none(gate: Reached) -> None:
    await gate.workspace("api")
    other = await gate.workspace("web")
    key = await gate.key(owner=None)
    actor, _ = await gate.token(workspace=other.id)
    await gate.certify(key, actor)
    assert "not yours to see" in (await gate.ssh(API, "echo in")).err


async def test_a_token_that_may_not_exec_gets_no_shell(gate: Reached) -> None:
    await gate.workspace("api")
    key = await gate.key(owner=None)
    actor, _ = await gate.token(scopes=frozenset({Permission.WORKSPACE_READ}))
    await gate.certify(key, actor)
    said = await gate.ssh(API, "echo in")
    assert (said.code, said.out) == (255, b"")
    assert "may not workspace:exec" in said.err
    (refused,) = await gate.told("channel.refused")
    assert refused.detail["kind"] == "exec"


async def _revoke_token(gate: Reached, credential: str) -> None:
    await token_verbs.revoke(gate.core, ADA, credential)


async def _disable_user(gate: Reached, credential: str) -> None:
    await users.update(gate.core, ROOT, "ada", UserChanges(disabled=True))


async def _delete_workspace(gate: Reached, credential: str) -> None:
    await verbs.delete(gate.core, ADA, "api")


@pytest.mark.parametrize("end", [_revoke_token, _disable_user, _delete_workspace])
async def test_what_ends_the_right_ends_the_connection_within_a_second(
    gate: Reached, end: Any
) -> None:
    await gate.workspace("api")
    key = await gate.key(owner=None)
    actor, credential = await gate.token()
    await gate.certify(key, actor)
    await _ends_within_a_second(gate, lambda: end(gate, credential))


async def test_removing_a_key_ends_its_connections_within_a_second(ssh: Reached) -> None:
    (key,) = await ssh_keys.find(ssh.core, ADA, after="", limit=10)

    async def remove() -> None:
        await ssh_keys.remove(ssh.core, ADA, key.id)

    await _ends_within_a_second(ssh, remove)
    assert "Permission denied" in (await ssh.ssh(API, "true")).err


async def test_a_server_that_restarts_says_so(ssh: Reached) -> None:
    async def close() -> None:
        ssh.core.gate.closing = True

    said = await _ends_within_a_second(ssh, close)
    assert b"being restarted" in said


async def _ends_within_a_second(gate: Reached, act: Any) -> bytes:
    async with gate.client(API, "echo up; exec sleep 1000") as process:
        await read_until(process, b"up")
        before = gate.clock()
        await act()
        assert process.stderr is not None
        said = b"".join([piece async for piece in process.stderr])
        await process.wait()
        # The client's own end takes a moment on a busy machine.
        assert gate.clock() - before < timedelta(seconds=2.5)
        assert process.returncode == 255
        return said


async def test_the_host_key_is_the_same_after_a_restart(gate: Reached) -> None:
    assert ssh_ca.host_public_key(SECRET) == gate.gateway.host_keys
    assert ssh_ca.host_public_key(b"1" * 32) != gate.gateway.host_keys
    assert ssh_ca.authority(SECRET) != gate.gateway.host_keys


async def test_a_stopped_workspace_is_started_by_connecting(ssh: Reached) -> None:
    made = (await ssh.told("workspace.created"))[0]
    await verbs.stop(ssh.core, ADA, "api")
    await ssh.until(made.subject, Phase.STOPPED)  # pyright: ignore[reportArgumentType]
    said = await ssh.ssh(API, "echo in")
    assert said.out == b"in\n", said.err
    assert "alcove: workspace api: stopped" in said.err
    assert "alcove: workspace api: running" in said.err


async def test_starting_needs_the_right_to(gate: Reached) -> None:
    made = await gate.workspace("api")
    await verbs.stop(gate.core, ADA, "api")
    await gate.until(made.id, Phase.STOPPED)
    key = await gate.key(owner=None)
    scopes = frozenset({Permission.WORKSPACE_READ, Permission.WORKSPACE_EXEC})
    actor, _ = await gate.token(scopes=scopes)
    await gate.certify(key, actor)
    said = await gate.ssh(API, "echo in")
    assert said.code == 255
    assert "may not workspace:update" in said.err
