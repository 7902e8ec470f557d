# Made by tools/async_to_sync.py from _async/workspaces.py: change that one.
"""The workspaces one may see, by name or id: to make, find, list and delete them."""

from collections.abc import Iterator, Mapping
from typing import Final

from alcove.sdk._sync.pages import items
from alcove.sdk._sync.transport import Transport
from alcove.sdk._sync.workspace import Workspace, path_of
from alcove.sdk.answers import Query, request
from alcove.sdk.changes import IsolationName, OnExpiryName, OnIdleName, ParameterValue
from alcove.sdk.waiting import TIMEOUT_S
from alcove.wire.base import Page
from alcove.wire.workspaces import NewWorkspace
from alcove.wire.workspaces import Workspace as WorkspaceAnswer

PAGE: Final = 200


class Workspaces:
    """`ref` is an id, a name of your own, or `owner/name`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        template: str | None = None,
        *,
        snapshot: str | None = None,
        name: str | None = None,
        parameters: Mapping[str, ParameterValue] | None = None,
        rich_parameters: Mapping[str, str] | None = None,
        template_version: int | None = None,
        repo: str | None = None,
        branch: str | None = None,
        ttl: str | None = None,
        ephemeral: bool | None = None,
        isolation: IsolationName | None = None,
        resources: Mapping[str, str | float] | None = None,
        env: Mapping[str, str] | None = None,
        labels: Mapping[str, str] | None = None,
        network: Mapping[str, object] | None = None,
        files: Mapping[str, str] | None = None,
        on_expiry: OnExpiryName | None = None,
        idle_stop: str | None = None,
        on_idle: OnIdleName | None = None,
        auto_resume: bool | None = None,
        owner: str | None = None,
        wait: bool = True,
        timeout_s: float = TIMEOUT_S,
    ) -> Workspace:
        """Make a workspace, and wait until it can be worked in unless `wait` is false.

        Either of a template or of a snapshot (id, or your own name for it), which then fixes
        template, isolation and clone.
        Durations are written like `"4h"`, sizes like `"4Gi"`; `rich_parameters` are texts that
        the server parses to the declared types. As a context manager the result deletes the
        workspace at the end. Raises Invalid with fields, QuotaExceeded, Unsupported, Denied,
        Conflict for a name that is taken, and when waiting WorkspaceFailed and WaitTimeout; the
        workspace stays in those two cases, so that one can look at it.
        """
        body = {
            "template": template,
            "snapshot": snapshot,
            "name": name,
            "parameters": parameters,
            "rich_parameters": rich_parameters,
            "template_version": template_version,
            "repo": repo,
            "branch": branch,
            "ttl": ttl,
            "ephemeral": ephemeral,
            "isolation": isolation,
            "resources": resources,
            "env": env,
            "labels": labels,
            "network": network,
            "files": files,
            "on_expiry": on_expiry,
            "idle_stop": idle_stop,
            "on_idle": on_idle,
            "auto_resume": auto_resume,
            "owner": owner,
        }
        answer = self._transport.post(WorkspaceAnswer, "/workspaces", request(NewWorkspace, body))
        workspace = Workspace(self._transport, answer, created=True)
        if wait:
            workspace.wait(timeout_s=timeout_s)
        return workspace

    def get(self, ref: str) -> Workspace:
        answer = self._transport.get(WorkspaceAnswer, path_of(ref))
        return Workspace(self._transport, answer)

    def list(
        self,
        *,
        owner: str | None = None,
        template: str | None = None,
        phase: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Iterator[Workspace]:
        """Newest first, fetched as one iterates; `owner` is a user's name, or `me`."""
        query: Query = {
            "owner": owner,
            "template": template,
            "phase": phase,
            "limit": PAGE,
            "label": [f"{key}={value}" for key, value in (labels or {}).items()],
        }
        for answer in items(self._transport, Page[WorkspaceAnswer], "/workspaces", query):
            yield Workspace(self._transport, answer)

    def delete(self, ref: str) -> None:
        """Ask for it to be gone; repeating it is fine. What it kept is lost."""
        self._transport.send("DELETE", path_of(ref))
