"""Where browsers find an app: its host name below the domain of apps, and links."""

from urllib.parse import quote, urlsplit

from alcove.config import Settings
from alcove.core.ports import Link
from alcove.model.port import app_label
from alcove.model.workspace import Workspace

LINK_QUERY = "alcove_link"
"""The parameter in which an app's own address carries a signed link."""
PATHS = "/apps/"
"""Where apps are on the server's own origin, each below a signed link's token."""


def app_url(
    settings: Settings, workspace: Workspace, target: int | str, *, owner: str
) -> str | None:
    """Of a port, or of an app by name. None when the server has no domain for apps."""
    if not settings.apps_host:
        return None
    label = app_label(target, id=workspace.id, name=workspace.name, owner=owner)
    return f"{urlsplit(settings.url).scheme}://{label}.{settings.apps_host}/"


def app_pattern(settings: Settings, workspace: Workspace, *, owner: str) -> str | None:
    """The same with `{port}` in it; the longest port decides which form of the name fits."""
    url = app_url(settings, workspace, 65535, owner=owner)
    return None if url is None else url.replace("://65535--", "://{port}--", 1)


def link_url(settings: Settings, link: Link, workspace: Workspace, *, owner: str) -> str:
    """Where the bearer of the link goes: to the app's own host where there is one."""
    path = quote(link.path_prefix, safe="/-._~!$&'()*+,;=:@%")
    if (base := app_url(settings, workspace, link.port, owner=owner)) is not None:
        return f"{base.removesuffix('/')}{path}?{LINK_QUERY}={link.token}"
    return f"{settings.url}{PATHS}{link.token}{path}"


def label_below(host: str, domain: str) -> str | None:
    """The part of a `Host` in front of the domain; None when it is not below it. Ports are not
    compared: a proxy in front may have another one than browsers see."""
    host, domain = _name(host), _name(domain)
    if not domain or not host.endswith(f".{domain}"):
        return None
    return host[: -len(domain) - 1]


def _name(host: str) -> str:
    return host.strip().lower().partition(":")[0].rstrip(".")
