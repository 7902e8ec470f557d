"""Addresses that open a workspace in an editor of the reader's machine, over SSH. Pure.

They name the host as `alcove config-ssh` writes it, so that nobody types an address.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlencode

from alcove.model.workspace import Workspace


@dataclass(frozen=True, slots=True)
class Editor:
    name: str
    url: str


def host_of(workspace: Workspace, owner: str, *, own: bool) -> str:
    """`api.alcove`; of somebody else's `api.ada.alcove`."""
    return f"{workspace.name}.alcove" if own else f"{workspace.name}.{owner}.alcove"


def folder_of(workspace: Workspace) -> str:
    """The clone, or the home."""
    home = "/root" if workspace.spec.user == "root" else f"/home/{workspace.spec.user}"
    clone = workspace.spec.clone
    return home if clone is None else f"{home}/{clone.directory}"


def editors_of(workspace: Workspace, owner: str, *, own: bool) -> Sequence[Editor]:
    """The first is the one that most people use."""
    host, folder = host_of(workspace, owner, own=own), folder_of(workspace)
    remote = f"vscode-remote/ssh-remote+{quote(host)}{quote(folder)}"
    gateway = urlencode(
        {
            "host": host,
            "port": 22,
            "user": workspace.spec.user,
            "type": "ssh",
            "deploy": "true",
            "projectPath": folder,
        }
    )
    return (
        Editor("VS Code", f"vscode://{remote}"),
        Editor("Cursor", f"cursor://{remote}"),
        Editor("Zed", f"zed://ssh/{quote(host)}{quote(folder)}"),
        Editor("JetBrains Gateway", f"jetbrains-gateway://connect#{gateway}"),
    )
