"""A workspace's addresses for editors; what they look like is in `model/editors.py`."""

from collections.abc import Sequence

from alcove.model.editors import Editor, host_name, links
from alcove.model.workspace import Workspace


def folder_of(workspace: Workspace) -> str:
    """The clone, or the home."""
    home = "/root" if workspace.spec.user == "root" else f"/home/{workspace.spec.user}"
    clone = workspace.spec.clone
    return home if clone is None else f"{home}/{clone.directory}"


def host_of(workspace: Workspace, owner: str, *, own: bool) -> str:
    return host_name(workspace.name, owner, own=own)


def editors_of(workspace: Workspace, owner: str, *, own: bool) -> Sequence[Editor]:
    """The first is the one that most people use."""
    host = host_of(workspace, owner, own=own)
    return links(host, folder=folder_of(workspace), user=workspace.spec.user)
