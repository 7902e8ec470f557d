"""What E2B's clients ask for, in our words. Pure.

What is not enforced here is refused with the name of the field; nothing is left out in silence.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

from alcove.api.compat.e2b.metadata import PUBLIC, to_labels
from alcove.api.compat.e2b.shapes import Network, NetworkUpdate, NewSandbox
from alcove.model.errors import FieldError, Invalid, NotFound, Unsupported
from alcove.model.workspace import NetworkMode, OnExpiry
from alcove.wire.workspaces import NetworkRequest, NewWorkspace

EVERYWHERE: Final = ["0.0.0.0/0"]
_SNAPSHOT: Final = re.compile(r"sn-[a-z2-7]{16}")
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_VERSION: Final = re.compile(r"v?([1-9][0-9]{0,8})")
_PROMOTED: Final = frozenset({"", "default", "latest"})


@dataclass(frozen=True, slots=True)
class Origin:
    """What `templateID` names. `snapshot` may also be the name of one."""

    name: str
    version: int | None = None
    snapshot: bool = False


def aliases(settings: Sequence[str]) -> Mapping[str, str]:
    """`base=ai-agent-sandbox` and so on, as a map."""
    pairs = (text.partition("=") for text in settings)
    return {name.strip(): template.strip() for name, _, template in pairs}


def origin(text: str, known: Mapping[str, str]) -> Origin:
    """`name`, `name:3`, `name:default`, or a snapshot's id. Raises NotFound for anything else."""
    name, _, tag = text.partition(":")
    if _SNAPSHOT.fullmatch(name) and tag in _PROMOTED:
        return Origin(name, snapshot=True)
    version = _VERSION.fullmatch(tag)
    if len(name) > 63 or not _NAME.fullmatch(name) or not (version or tag in _PROMOTED):
        raise NotFound(f"there is no template {text[:100]!r}")
    return Origin(known.get(name, name), None if version is None else int(version[1]))


def new_workspace(asked: NewSandbox, start: Origin, *, timeout_s: int) -> NewWorkspace:
    """Raises Unsupported or Invalid, naming the field."""
    for field, value in (
        ("iam", asked.iam),
        ("mcp", asked.mcp),
        ("volumeMounts", asked.volumeMounts),
    ):
        if value:
            raise _unsupported(field)
    if asked.autoPauseMemory is False:
        raise _unsupported("autoPauseMemory", "false: a pause keeps the memory")
    network = _network(asked.allow_internet_access, asked.network)
    labels = to_labels(asked.metadata or {})
    if asked.network is not None and asked.network.allowPublicTraffic:
        labels[PUBLIC] = "true"
    life = timedelta(seconds=timeout_s)
    given: dict[str, Any] = {"ttl": life, "idle_stop": life, "labels": labels}
    if start.snapshot:
        given["snapshot"] = start.name
    else:
        given |= {"template": start.name}
        if start.version is not None:
            given["template_version"] = start.version
    if asked.envVars:
        given["env"] = asked.envVars
    if network is not None:
        given["network"] = NetworkRequest(mode=network)
    if asked.autoPause is not None:
        given["on_expiry"] = OnExpiry.PAUSE if asked.autoPause else OnExpiry.DELETE
    if asked.autoResume is not None:
        if asked.autoResume.enabled and not asked.autoPause:
            raise _wrong("autoResume", "needs autoPause: what is deleted cannot be resumed")
        given["auto_resume"] = asked.autoResume.enabled
    return NewWorkspace(**given)


def network_mode(update: NetworkUpdate) -> NetworkMode | None:
    """What a change of the network asks for; None for no change of it."""
    network = Network(
        allowOut=update.allowOut,
        denyOut=update.denyOut,
        rules=update.rules,
        egressProxy=update.egressProxy,
        dnsServers=update.dnsServers,
    )
    return _network(update.allow_internet_access, network)


def _network(internet: bool | None, network: Network | None) -> NetworkMode | None:
    """`none`, `open`, or None: as the template has it."""
    closed = False
    if network is not None:
        for field in ("allowOut", "rules", "maskRequestHost", "httpsPorts"):
            if getattr(network, field):
                raise _unsupported(f"network.{field}")
        # Empty ones mean "none" here, which is not the default.
        for field in ("egressProxy", "dnsServers"):
            if getattr(network, field) is not None:
                raise _unsupported(f"network.{field}")
        if network.denyOut:
            if network.denyOut != EVERYWHERE:
                said = 'anything but ["0.0.0.0/0"], which is no network at all'
                raise _unsupported("network.denyOut", said)
            closed = True
    if closed:
        return NetworkMode.NONE
    if internet is None:
        return None
    return NetworkMode.OPEN if internet else NetworkMode.NONE


def _unsupported(field: str, what: str = "") -> Unsupported:
    more = f" ({what})" if what else ""
    return Unsupported(f"{field}: Alcove does not offer this{more}; leave it out")


def _wrong(field: str, said: str) -> Invalid:
    return Invalid(f"{field}: {said}", [FieldError(field, said)])
