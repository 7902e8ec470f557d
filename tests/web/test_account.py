"""One's own account: browsers, password, tokens, SSH keys."""

import re

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from alcove.core import tokens
from alcove.core.sign_in import by_password
from alcove.model.access import Permission
from tests.api.served import ADA, BOB, Served
from tests.web.operators import HOSTILE, browser, is_safe

PASSWORD = "a good long password"


async def test_other_browsers_are_signed_out_and_this_one_stays(api: Served) -> None:
    other = await browser(api, "ada")
    here = await browser(api, "ada")
    page = (await here.get("/account")).text
    assert "This one" in page
    await here.post("/account/sessions/others")
    assert (await other.get("/account")).status_code == 303
    assert (await here.get("/account")).status_code == 200


async def test_a_password_is_set_and_then_asked_for(api: Served) -> None:
    ada = await browser(api, "ada")
    done = await ada.post("/account/password", data={"new": PASSWORD, "again": PASSWORD})
    assert done.status_code == 303
    assert await by_password(api.core, name="ada", password=PASSWORD, address="")
    again = {"new": "another good one", "again": "another good one", "current": "wrong"}
    answer = await ada.post("/account/password", data=again)
    assert answer.status_code == 422
    assert 'id="current-fault">is not the present password' in answer.text


@pytest.mark.parametrize(
    ("fields", "fault"),
    [({"new": "short", "again": "short"}, "new"), ({"new": PASSWORD, "again": "x"}, "again")],
)
async def test_a_password_that_will_not_do_is_told_and_not_repeated(
    api: Served, fields: dict[str, str], fault: str
) -> None:
    answer = await (await browser(api, "ada")).post("/account/password", data=fields)
    assert answer.status_code == 422
    assert re.search(rf'id="{fault}-fault">[^<]', answer.text)
    assert PASSWORD not in answer.text


async def test_a_token_is_shown_once_and_works_as_far_as_it_was_asked(api: Served) -> None:
    made = await api.workspace(ADA, name="mine")
    ada = await browser(api, "ada")
    fields = {
        "name": "ci",
        "reach": "some",
        "scope.workspace:read": "true",
        "expires_in": "1d",
        "workspace": made.id,
    }
    page = (await ada.post("/tokens", data=fields)).text
    [secret] = re.findall(r"not shown again[.]</p>.*?<code>([^<]+)</code>", page, re.DOTALL)
    assert secret not in (await ada.get("/tokens")).text
    [token] = await tokens.find(api.core, ADA, user=None, after="", limit=9)
    assert (token.scopes, token.workspace) == (frozenset({Permission.WORKSPACE_READ}), made.id)
    client = api.bare(authorization=f"Bearer {secret}")
    assert (await client.get(f"/api/v2/workspaces/{made.id}")).status_code == 200
    await ada.post(f"/tokens/{token.id}/revoke")
    assert (await client.get(f"/api/v2/workspaces/{made.id}")).status_code == 401


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": HOSTILE},
        {"name": "ci", "reach": "some"},
        {"name": "ci", "reach": "some", f"scope.{HOSTILE}": "true"},
        {"name": "ci", "expires_in": "never"},
        {"name": "ci", "workspace": HOSTILE},
    ],
)
async def test_a_token_that_cannot_be_made_says_why(api: Served, fields: dict[str, str]) -> None:
    answer = await (await browser(api, "ada")).post("/tokens", data=fields)
    assert answer.status_code == 422
    assert re.search(r'class="(fault|notice red)"', answer.text)
    assert is_safe(answer.text)


async def test_somebody_elses_token_is_not_revoked(api: Served) -> None:
    token, _ = await tokens.create(api.core, BOB, tokens.TokenDraft(name="bobs"))
    answer = await (await browser(api, "ada")).post(f"/tokens/{token.id}/revoke")
    assert answer.status_code == 404


async def test_a_key_is_added_and_removed(api: Served) -> None:
    public = Ed25519PrivateKey.generate().public_key()
    text = public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    ada = await browser(api, "ada")
    done = await ada.post("/keys", data={"name": "laptop", "public_key": f"{text} me@laptop"})
    assert done.status_code == 303
    page = (await ada.get("/keys")).text
    assert "laptop" in page
    [remove] = re.findall(r'action="(/keys/[\w-]+/remove)"', page)
    await ada.post(remove)
    assert remove not in (await ada.get("/keys")).text


async def test_a_private_key_is_refused_and_not_repeated(api: Served) -> None:
    kind = "OPENSSH PRIVATE KEY"
    pasted = f"-----BEGIN {kind}-----\nc2VjcmV0c2VjcmV0\n-----END {kind}-----"
    answer = await (await browser(api, "ada")).post(
        "/keys", data={"name": "laptop", "public_key": pasted}
    )
    assert answer.status_code == 422
    assert "this is a private key" in answer.text
    assert "c2VjcmV0c2VjcmV0" not in answer.text


async def test_no_name_of_a_key_is_markup(api: Served) -> None:
    answer = await (await browser(api, "ada")).post(
        "/keys", data={"name": HOSTILE, "public_key": HOSTILE}
    )
    assert answer.status_code == 422
    assert is_safe(answer.text)
