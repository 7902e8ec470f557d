# Made by tools/async_to_sync.py from _async/tokens.py: change that one.
"""API tokens. The secret is answered once, when the token is made."""

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from alcove.sdk._sync.pages import items
from alcove.sdk._sync.transport import Transport
from alcove.sdk.answers import request
from alcove.wire.base import Page
from alcove.wire.tokens import NewToken, Token, TokenCreated


class Tokens:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        name: str,
        *,
        scopes: Sequence[str] | None = None,
        expires_in: str | None = None,
        workspace: str | None = None,
        user: str | None = None,
    ) -> TokenCreated:
        """A token for a program. It never may do more than the one that makes it.

        `workspace` binds it to one; `user` makes it for a service account.
        """
        body = request(
            NewToken,
            {
                "name": name,
                "scopes": scopes,
                "expires_in": expires_in,
                "workspace": workspace,
                "user": user,
            },
        )
        return self._transport.post(TokenCreated, "/tokens", body)

    def list(self) -> Iterator[Token]:
        return items(self._transport, Page[Token], "/tokens")

    def revoke(self, id: str) -> None:
        """Ends it at once; repeating it is fine."""
        self._transport.send("DELETE", f"/tokens/{quote(id, safe='')}")
