"""Who comes in: from what a client proves itself with to a `Caller`."""

import secrets
from dataclasses import dataclass, replace

import asyncssh
from anyio.abc import TaskGroup

from alcove.core import access, ssh_sign_in
from alcove.core.app import Core
from alcove.gateway.caller import Caller
from alcove.model.access import Actor, Permission
from alcove.model.errors import AlcoveError, Unauthenticated
from alcove.model.ssh import Proof, read_login


@dataclass(slots=True)
class Login:
    """One connection's way in. `known`: who calls, where something else than SSH has proved it."""

    core: Core
    address: str
    session: str
    known: Actor | None = None
    workspace: str | None = None
    """What is connected to, where not the login name says it."""
    user: str = ""
    actor: Actor | None = None
    method: str = ""
    fingerprint: str = ""
    _offered: Proof | None = None

    def begin(self, user: str) -> bool:
        """A client names where it wants to go; True when nothing more is asked of it."""
        self.user, self._offered = user, None
        if self.known is None:
            return False
        self.actor, self.method = self.known, "token"
        return True

    async def key(self, data: bytes, *, signed: bool) -> asyncssh.SSHKey | None:
        """The key with which the client has to sign, if it opens anything."""
        try:
            proof = await ssh_sign_in.look_up(self.core, data, address=self.address)
        except AlcoveError:
            return None
        self._offered = proof if signed else None
        return asyncssh.import_public_key(proof.public_key)

    async def let_in(self) -> bool:
        """The signature was right."""
        proof = self._offered
        if proof is None:
            return False
        self.actor = replace(proof.actor, address=self.address, request_id=self.session)
        self.method, self.fingerprint = proof.method, proof.fingerprint
        if proof.workspace is not None:
            self.actor = replace(self.actor, workspace=proof.workspace)
        return True

    async def caller(self, connection: asyncssh.SSHServerConnection, tasks: TaskGroup) -> Caller:
        """Raises NotFound when there is no such workspace, or it is not the caller's to see."""
        if self.actor is None:
            raise Unauthenticated("nobody has signed in on this connection")
        ref = self.workspace if self.workspace is not None else read_login(self.user)
        found = await access.workspace(self.core, self.actor, ref, Permission.WORKSPACE_READ)
        return Caller(self.core, self.actor, found, connection, tasks, self.session)


def new_session() -> str:
    """An id of a connection, for events."""
    return f"ssh-{secrets.token_hex(8)}"
