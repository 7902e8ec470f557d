"""SSH keys and certificates over the API."""

import anyio
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    SSHCertificate,
    load_ssh_public_identity,
)

from alcove.model.access import Permission
from tests.api.served import ADA, BOB, BOT, Served

KEYS = "/api/v2/users/me/ssh-keys"
CERTIFICATES = "/api/v2/ssh/certificates"
Private = ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def public(key: Private | None = None) -> str:
    made = (key or ed25519.Ed25519PrivateKey.generate()).public_key()
    return made.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()


async def test_a_key_is_added_listed_and_removed(api: Served) -> None:
    client, text = await api.client(ADA), public()
    body = {"name": "laptop", "public_key": text + " ada@laptop"}
    made = (await client.post(KEYS, json=body)).json()
    assert (made["name"], made["public_key"], made["last_used_at"]) == ("laptop", text, None)
    assert [one["id"] for one in (await client.get(KEYS)).json()["items"]] == [made["id"]]
    assert (await client.delete(f"{KEYS}/{made['id']}")).status_code == 204
    assert (await client.get(KEYS)).json()["items"] == []
    assert (await client.delete(f"{KEYS}/{made['id']}")).status_code == 404
    kinds = [e.kind for e in await api.world.events(made["id"])]
    assert kinds == ["ssh_key.added", "ssh_key.removed"]


async def test_the_fingerprint_is_the_one_that_openssh_shows(api: Served) -> None:
    text = public()
    shown = await anyio.run_process(["ssh-keygen", "-lf", "-"], input=text.encode())
    made = await (await api.client(ADA)).post(KEYS, json={"name": "x", "public_key": text})
    assert made.json()["fingerprint"] == shown.stdout.decode().split()[1]


async def test_nobody_sees_or_removes_somebody_elses(api: Served) -> None:
    ada, bob = await api.client(ADA), await api.client(BOB)
    made = (await ada.post(KEYS, json={"name": "x", "public_key": public()})).json()
    assert (await bob.get(KEYS)).json()["items"] == []
    assert (await bob.delete(f"{KEYS}/{made['id']}")).status_code == 404
    assert len((await ada.get(KEYS)).json()["items"]) == 1


async def test_one_key_is_one_users(api: Served) -> None:
    text = public()
    ada, bob = await api.client(ADA), await api.client(BOB)
    assert (await ada.post(KEYS, json={"name": "x", "public_key": text})).status_code == 201
    assert (await bob.post(KEYS, json={"name": "x", "public_key": text})).status_code == 409


REFUSED = {
    "DSA": lambda: "ssh-dss " + public().split()[1],
    "short RSA": lambda: public(rsa.generate_private_key(65537, 2048)),
    "damaged": lambda: public()[:-8],
    "another type's": lambda: (
        "ssh-ed25519 " + public(ec.generate_private_key(ec.SECP256R1())).split()[1]
    ),
    "several": lambda: public() + "\n" + public(),
    "with options": lambda: 'command="sh" ' + public(),
    "no key": lambda: "hello",
    "empty": lambda: " ",
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_no_good_key_is_refused_by_its_field(api: Served, what: str) -> None:
    client = await api.client(ADA)
    for path, more in ((KEYS, {"name": "x"}), (CERTIFICATES, {})):
        answer = await client.post(path, json={**more, "public_key": REFUSED[what]()})
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["field"] == "public_key"


async def test_a_pasted_private_key_is_refused_and_not_repeated(api: Served) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    text = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()).decode()
    answer = await (await api.client(ADA)).post(KEYS, json={"name": "x", "public_key": text})
    assert answer.status_code == 422
    assert "private key" in answer.text
    assert text.splitlines()[1] not in answer.text


async def test_other_strong_keys_are_taken(api: Served) -> None:
    client = await api.client(ADA)
    for key in (rsa.generate_private_key(65537, 3072), ec.generate_private_key(ec.SECP384R1())):
        body = {"name": "x", "public_key": public(key)}
        assert (await client.post(KEYS, json=body)).status_code == 201


async def test_a_limited_token_adds_no_key(api: Served) -> None:
    """The key would be good for more than the token is."""
    client = await api.client(ADA, scopes=[Permission.TOKEN_MANAGE])
    answer = await client.post(KEYS, json={"name": "x", "public_key": public()})
    assert answer.status_code == 403


async def test_a_service_account_has_certificates_and_no_keys(api: Served) -> None:
    client = await api.client(BOT)
    answer = await client.post(KEYS, json={"name": "x", "public_key": public()})
    assert answer.status_code == 403
    assert (await client.post(CERTIFICATES, json={"public_key": public()})).status_code == 201


async def test_a_certificate_is_for_five_minutes_and_says_whom_it_is_for(api: Served) -> None:
    client, text = await api.client(ADA), public()
    made = (await client.post(CERTIFICATES, json={"public_key": text})).json()
    found = load_ssh_public_identity(made["certificate"].encode())
    assert isinstance(found, SSHCertificate)
    found.verify_cert_signature()
    now = api.core.clock().timestamp()
    assert list(found.valid_principals) == [ADA.id.encode()]
    assert (found.valid_after, found.valid_before) == (now - 60, now + 300)
    assert found.critical_options == {}
    (issued,) = await api.world.events(ADA.id)
    assert (issued.kind, issued.detail["serial"]) == ("ssh_certificate.issued", made["serial"])


async def test_a_certificate_for_what_is_not_the_callers_is_not_made(api: Served) -> None:
    made = await api.workspace(BOB)
    client = await api.client(ADA)
    answer = await client.post(CERTIFICATES, json={"public_key": public(), "workspace": made.id})
    assert answer.status_code == 404
