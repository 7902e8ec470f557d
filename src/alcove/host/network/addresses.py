"""Which addresses a workspace may reach, and which one is its own. Pure.

The list is what is not the public Internet (IANA special-purpose registries, RFC 6890 and its
successors), and the metadata services of clouds, which no operator's exception opens.
"""

import hashlib
import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final

from alcove.host.settings import HostSettings
from alcove.model.errors import DriverError

METADATA: Final = tuple(
    IPv4Address(text) for text in ("169.254.169.254", "168.63.129.16", "100.100.100.200")
)
METADATA_6: Final = (IPv6Address("fd00:ec2::254"),)

BLOCKED: Final = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)
GLOBAL_6: Final = IPv6Network("2000::/3")
BLOCKED_6: Final = tuple(
    IPv6Network(text)
    for text in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20", "64:ff9b::/96")
)
"""Within GLOBAL_6, or translated to IPv4: documentation, Teredo, 6to4, NAT64."""

_PREFIX_MIN: Final = 8
_PREFIX_MAX: Final = 24


@dataclass(frozen=True, slots=True)
class Trusted:
    """What the operator opens: a network, or one TCP port of it."""

    network: IPv4Network
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """Names and addresses of one installation's network."""

    instance: str
    pool: IPv4Network
    trusted: tuple[Trusted, ...]

    @property
    def gateway(self) -> IPv4Address:
        return self.pool[1]

    @property
    def gateway_interface(self) -> str:
        return f"{self.instance[:3]}-{self.group:08x}"

    @property
    def group(self) -> int:
        """Number of the interface group that the rules look at (31 bits, never the default 0)."""
        digest = hashlib.sha256(f"alcove network {self.instance}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1 | 1

    def address(self, slot: int) -> IPv4Address:
        """The address of the workspace in `slot`. Raises DriverError beyond the pool."""
        if not 0 <= slot < self.pool.num_addresses - 3:
            raise DriverError(
                f"network_pool {self.pool} has no address for workspace number {slot}; "
                "give a larger network_pool",
                retry=False,
            )
        return self.pool[2 + slot]

    def interface(self, workspace: str) -> str:
        """Name of the host's end; the kernel allows 15 characters."""
        return f"{self.instance[:3]}{workspace[-11:]}"


def plan(settings: HostSettings) -> Plan:
    """Read the operator's settings. Raises DriverError naming the one at fault."""
    try:
        pool = IPv4Network(settings.network_pool)
    except ValueError as error:
        raise DriverError(f"network_pool: {error}", retry=False) from error
    if not _PREFIX_MIN <= pool.prefixlen <= _PREFIX_MAX:
        raise DriverError(
            f"network_pool {pool}: give a network between /{_PREFIX_MIN} and /{_PREFIX_MAX}",
            retry=False,
        )
    return Plan(settings.instance, pool, tuple(trusted(t) for t in settings.trusted_networks))


def trusted(text: str) -> Trusted:
    """Read `203.0.113.0/24`, `192.168.1.5` or `10.0.0.0/8:443`. Raises DriverError."""
    found = re.fullmatch(r"([0-9.]{7,15}(?:/[0-9]{1,2})?)(?::([0-9]{1,5}))?", text)
    if found is None or not (found[2] is None or 0 < int(found[2]) < 65536):
        raise DriverError(
            f"trusted_networks: {text!r}: write an IPv4 network like 192.168.7.0/24, "
            "with :port after it if only that TCP port is meant",
            retry=False,
        )
    try:
        network = IPv4Network(found[1])
    except ValueError as error:
        raise DriverError(f"trusted_networks: {text!r}: {error}", retry=False) from error
    return Trusted(network, int(found[2]) if found[2] else None)


def reachable(address: IPv4Address | IPv6Address, opened: tuple[Trusted, ...]) -> bool:
    """Whether an answer may point to `address`: it is public, or the operator trusts it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return reachable(address.ipv4_mapped, opened)
        return address in GLOBAL_6 and not any(address in network for network in BLOCKED_6)
    if address in METADATA:
        return False
    if any(address in entry.network for entry in opened):
        return True
    return not any(address in network for network in BLOCKED)
