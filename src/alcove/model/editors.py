"""Addresses that open a workspace in an editor of the reader's machine, over SSH. Pure.

They name the host as `alcove config-ssh` writes it, so that nobody types an address.
"""

from dataclasses import dataclass
from urllib.parse import quote, urlencode


@dataclass(frozen=True, slots=True)
class Editor:
    """`word` is what `alcove open --in` calls it."""

    word: str
    name: str
    url: str


def host_name(workspace: str, owner: str, *, own: bool) -> str:
    """`api.alcove`; of somebody else's `api.ada.alcove`."""
    return f"{workspace}.alcove" if own else f"{workspace}.{owner}.alcove"


def links(host: str, *, folder: str, user: str) -> tuple[Editor, ...]:
    """The first is the one that most people use. `user` is the workspace's, `folder` absolute."""
    remote = f"vscode-remote/ssh-remote+{quote(host)}{quote(folder)}"
    gateway = urlencode(
        {
            "host": host,
            "port": 22,
            "user": user,
            "type": "ssh",
            "deploy": "true",
            "projectPath": folder,
        }
    )
    return (
        Editor("vscode", "VS Code", f"vscode://{remote}"),
        Editor("cursor", "Cursor", f"cursor://{remote}"),
        Editor("zed", "Zed", f"zed://ssh/{quote(host)}{quote(folder)}"),
        Editor("jetbrains", "JetBrains Gateway", f"jetbrains-gateway://connect#{gateway}"),
    )
