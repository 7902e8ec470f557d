# Made by tools/async_to_sync.py from _async/templates.py: change that one.
"""The catalog: templates, their versions, and pushing one from a directory."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import quote

from alcove.sdk._sync.pages import items
from alcove.sdk._sync.primitives import in_thread
from alcove.sdk._sync.transport import Transport
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


class Templates:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def list(self) -> Iterator[Template]:
        return items(self._transport, Page[Template], "/templates")

    def get(self, name: str) -> Template:
        return self._transport.get(Template, _path(name))

    def find(self, name: str) -> Template | None:
        """Like `get`; None when there is no such template."""
        try:
            return self.get(name)
        except NotFound:
            return None

    def parameters(self, name: str) -> tuple[TemplateParameter, ...]:
        """The questions that it asks."""
        answer = self._transport.get(Page[TemplateParameter], f"{_path(name)}/parameters")
        return tuple(answer.items)

    def versions(self, name: str) -> Iterator[TemplateVersion]:
        """Newest first."""
        path = f"{_path(name)}/versions"
        return items(self._transport, Page[TemplateVersion], path)

    def push(
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
        source = in_thread(read_directory, Path(directory))
        body = request(
            NewTemplateVersion,
            {**source.body(), "message": message, "promote": promote},
        )
        path = f"{_path(name or source.name)}/versions"
        return self._transport.post(TemplateVersion, path, body)

    def promote(self, name: str, version: int) -> Template:
        """Make a version the one that new workspaces get; an older one rolls back."""
        path = f"{_path(name)}/versions/{version}/promote"
        return self._transport.post(Template, path)

    def lint(self, directory: str | Path, *, name: str | None = None) -> LintAnswer:
        """What a push would say, without pushing."""
        source = in_thread(read_directory, Path(directory))
        body = request(LintRequest, {**source.body(), "name": name or source.name})
        return self._transport.post(LintAnswer, "/templates/lint", body)

    def render(
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
        return self._transport.post(Rendered, f"{_path(name)}/render", body)


def _path(name: str) -> str:
    return f"/templates/{quote(name, safe='')}"
