"""What the privileged process is told when it starts.

The part of the operator's settings that it needs, and no more: it never reads the environment or
the server's database. Every field has a default that is safe on an unprepared machine.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

ID_SPAN: Final = 65536
"""How many user and group ids a workspace has."""


@dataclass(frozen=True, slots=True)
class HostSettings:
    """Paths, id ranges, and the operator's network surroundings."""

    data_dir: Path = Path("/var/lib/alcove")
    agent: Path = Path("/var/lib/alcove/host/agent/alcove-agent")
    instance: str = "alcove"
    """Names everything of ours on the host, so that two installations (a test's beside a real
    one) never take each other's things for their own: cgroup `/<instance>`, nft table
    `inet <instance>`, interfaces `<first 3 characters of instance>` + 11 of the workspace's id."""
    server_user: str = "alcove"
    id_base: int = 0x4000_0000
    """First id of the first range; range 0 builds images, workspaces have the ranges after it."""
    tools: Path | None = None
    """Where `alcove up` keeps what it built (runsc); None: `.tools` in the data directory."""
    crash_file: Path | None = None
    """For tests: a file that names the point (see `crashpoints`) at which to die."""

    network_pool: str = "10.213.0.0/16"
    """Addresses of workspaces; the first is the gateway's."""
    trusted_networks: tuple[str, ...] = ()
    """`CIDR` or `CIDR:port`: what workspaces in mode `open` reach although it is not public."""
    resolvers: tuple[str, ...] = ()
    """Name servers to forward to; empty: those of the host's /etc/resolv.conf."""

    ca_bundle: str = ""
    """PEM file with the certificate authorities to trust in builds, pulls and workspaces."""
    http_proxy: str = ""
    https_proxy: str = ""
    no_proxy: str = ""
    debian_mirror: str = ""
    """Empty: what the host's own apt uses, else https://deb.debian.org/debian."""
    pip_index_url: str = ""
    npm_registry: str = ""
    goproxy: str = ""
    registry_auth_file: str = ""
    """A containers-auth.json; read by root, given to the puller alone."""
    insecure_registries: tuple[str, ...] = ()
    """`host[:port]` of registries that may be spoken to without TLS."""

    @property
    def host_dir(self) -> Path:
        return self.data_dir / "host"

    @property
    def images_dir(self) -> Path:
        return self.host_dir / "images"

    @property
    def tools_dir(self) -> Path:
        return self.tools or self.data_dir / ".tools"

    @property
    def build_ids(self) -> int:
        """First id of the range in which images are built; nobody else uses it."""
        return self.id_base

    def interface(self, workspace: str) -> str:
        """Name of the host's end of a workspace's connection; the kernel allows 15 characters."""
        return f"{self.instance[:3]}{workspace[-11:]}"

    def workspace_ids(self, slot: int) -> int:
        """First id of the range of the workspace in `slot`."""
        return self.id_base + (slot + 1) * ID_SPAN
