"""The catalog: templates, their versions, and pushing one from a directory."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from urllib.parse import quote

from alcove.sdk._async.pages import items
from alcove.sdk._async.primitives import in_thread
from alcove.sdk._async.transport import AsyncTransport
from alcove.sdk.answers import request
from alcove.sdk.errors import NotFound
from alcove.sdk.template_files import read_directory
from alcove.wire.base import Page
from alcove.wire.templates import (
    LintAnswer,
    LintRequest,
    NewTemplateVersion,
    Rendered,
    RenderRequest,
    Template,
    TemplateParameter,
    TemplateVersion,
)


class AsyncTemplates:
    def __init__(self, transport: AsyncTransport) -> None:
        self._transport = transport

    def list(self) -> AsyncIterator[Template]:
        return items(self._transport, Page[Template], "/templates")

    async def get(self, name: str) -> Template:
        return await self._transport.get(Template, _path(name))

    async def find(self, name: str) -> Template | None:
        """Like `get`; None when there is no such template."""
        try:
            return await self.get(name)
        except NotFound:
            return None

    async def parameters(self, name: str) -> tuple[TemplateParameter, ...]:
        """The questions that it asks."""
        answer = await self._transport.get(Page[TemplateParameter], f"{_path(name)}/parameters")
        return tuple(answer.items)

    def versions(self, name: str) -> AsyncIterator[TemplateVersion]:
        """Newest first."""
        path = f"{_path(name)}/versions"
        return items(self._transport, Page[TemplateVersion], path)

    async def push(
        self,
        directory: str | Path,
        *,
        name: str | None = None,
        message: str | None = None,
        promote: bool = False,
    ) -> TemplateVersion:
        """A new version from `template.yaml` and what stands beside it.

        The same files as in the latest version answer that one. The name is `template.yaml`'s,
        else the directory's. Raises Invalid with a line for each error.
        """
        source = await in_thread(read_directory, Path(directory))
        body = request(
            NewTemplateVersion,
            {**source.body(), "message": message, "promote": promote},
        )
        path = f"{_path(name or source.name)}/versions"
        return await self._transport.post(TemplateVersion, path, body)

    async def promote(self, name: str, version: int) -> Template:
        """Make a version the one that new workspaces get; an older one rolls back."""
        path = f"{_path(name)}/versions/{version}/promote"
        return await self._transport.post(Template, path)

    async def lint(self, directory: str | Path, *, name: str | None = None) -> LintAnswer:
        """What a push would say, without pushing."""
        source = await in_thread(read_directory, Path(directory))
        body = request(LintRequest, {**source.body(), "name": name or source.name})
        return await self._transport.post(LintAnswer, "/templates/lint", body)

    async def render(
        self,
        name: str,
        *,
        version: int | None = None,
        parameters: Mapping[str, object] | None = None,
        isolation: str | None = None,
    ) -> Rendered:
        """What a workspace with these parameters would be; nothing is made."""
        body = request(
            RenderRequest,
            {"version": version, "parameters": parameters, "isolation": isolation},
        )
        return await self._transport.post(Rendered, f"{_path(name)}/render", body)


def _path(name: str) -> str:
    return f"/templates/{quote(name, safe='')}"
