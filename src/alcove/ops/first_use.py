"""What a new server needs before it is of use: an admin who is signed in, a catalog, a workspace.

Every part looks first whether it is there already.
"""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import alcove
from alcove.config import Settings, client
from alcove.ops import admin
from alcove.ops.layout import Layout, checkout, home_of
from alcove.ops.steps import Progress, StepFailed
from alcove.sdk import Alcove, AlcoveError, NotFound
from alcove.sdk.credentials import Credentials

HELLO: Final = "hello"


@dataclass(frozen=True, slots=True)
class FirstUse:
    """What to tell the person who ran `up`."""

    link: str
    note: str


def first_use(layout: Layout, settings: Settings, progress: Progress) -> FirstUse:
    """Sign the invoking user in, push the starter templates, create `hello`, make a link."""
    # Over TLS by the name that the certificate has; else by the address that is always there.
    url = settings.url if settings.tls_certificate else f"http://{settings.http_address}"
    try:
        token = _signed_in(layout, url)
        with Alcove(url, token) as api:
            progress.say("starter templates")
            pushed = sum(_push(api, directory) for directory in catalog())
            progress.say("first workspace")
            note = _hello(api)
    except AlcoveError as error:
        raise StepFailed(f"{error}; {layout.log_dir}/server.log tells more") from error
    answer = admin.ask(layout, "/sign-in-link", {})
    progress.result = f"{pushed} templates pushed" if pushed else "templates are up to date"
    return FirstUse(link=answer["url"], note=note)


def catalog() -> list[Path]:
    """The directories of the starter templates, in the checkout or in the installed package."""
    root = checkout()
    base = root / "templates" if root else Path(alcove.__file__).parent / "catalog"
    return sorted(path.parent for path in base.glob("*/template.yaml"))


def _signed_in(layout: Layout, url: str) -> str:
    """The token that the invoking user's CLI has for this server; a new one if it is no good."""
    user, credentials = _credentials_of_invoker()
    token = credentials.token_for(url)
    if token is not None:
        with Alcove(url, token) as api:
            if api.server.accepts_token():
                # Commands speak to the server that was brought up last.
                credentials.make_current(url)
                return token
    answer = admin.ask(layout, "/token", {"name": f"cli of {user} on this machine"})
    credentials.store(url, answer["token"])
    return str(answer["token"])


def _credentials_of_invoker() -> tuple[str, Credentials]:
    """Where the CLI of whoever typed the command keeps its tokens, also under sudo."""
    name = os.environ.get("SUDO_USER") or "root"  # noqa: TID251 - who typed the command
    if name == "root":
        return name, Credentials(client().config_dir)
    account = pwd.getpwnam(name)
    directory = home_of(name) / ".config/alcove"
    return name, Credentials(directory, owner=(account.pw_uid, account.pw_gid))


def _push(api: Alcove, directory: Path) -> bool:
    """Push one starter template and make it active; False when it was there just so."""
    before = api.templates.find(directory.name)
    version = api.templates.push(directory, promote=True)
    return before is None or before.latest != version.number


def _hello(api: Alcove) -> str:
    try:
        api.workspaces.get(HELLO)
    except NotFound:
        api.workspaces.create(name=HELLO, template="base", wait=False)
        return (
            "The image of the first workspace is being built (about a minute); "
            f"`alcove show {HELLO}` tells how far it is."
        )
    return ""
