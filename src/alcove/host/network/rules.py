"""The guard: one nftables table of our own, as text. Pure.

It looks at the group of an interface, never at its name, and the kernel gives the group when it
makes the interface: so no packet passes before it is guarded, and nothing has to be changed when
a workspace comes or goes. `accept` here ends this table only; the tables of others still decide.
"""

from typing import Final

from alcove.host.network.addresses import BLOCKED, METADATA, Plan, Trusted

CONNECTIONS_MAX: Final = 2048
"""Tracked connections of one workspace at a time."""
NEW_PER_SECOND_MAX: Final = 500
QUESTIONS_PER_SECOND_MAX: Final = 200
"""Before the forwarder's own limit: its socket's queue is shared by all workspaces."""
DNS_PORTS: Final = "{ 53, 853, 5353 }"
PROTOCOLS: Final = "{ tcp, udp, icmp }"


def table(plan: Plan, *, forwarder_port: int, uplinks: tuple[str, ...]) -> str:
    """Everything to load with `nft -f -`, in place of the table that is there, at once.

    `uplinks` are the interfaces on which forwarding was off before us: a packet that comes in
    there and begins something that is not for a workspace is still not forwarded.
    """
    name = plan.instance
    return f"""\
table inet {name}
delete table inet {name}
table inet {name} {{
{_SETS}{_arriving(plan, forwarder_port)}{_forwarded(plan, uplinks)}\
{_of_the_host(plan, forwarder_port)}{_leaving(plan)}}}
"""


def removal(plan: Plan) -> str:
    """Removes the table, whether or not it is there."""
    return f"table inet {plan.instance}\ndelete table inet {plan.instance}\n"


_SETS: Final = f"""\
    set blocked {{
        type ipv4_addr
        flags interval
        elements = {{ {", ".join(map(str, BLOCKED))} }}
    }}
    set connections {{
        type ipv4_addr
        size 65536
        flags dynamic
    }}
    set rates {{
        type ipv4_addr
        size 65536
        flags dynamic
        timeout 60s
    }}
    set questions {{
        type ipv4_addr
        size 65536
        flags dynamic
        timeout 60s
    }}
"""
_REJECT: Final = "reject with icmpx admin-prohibited"
"""Refused aloud, so that a program fails at once instead of waiting."""


def _arriving(plan: Plan, forwarder_port: int) -> str:
    """No address but its own, and questions for names go to the forwarder."""
    return f"""\
    chain early {{
        type filter hook prerouting priority raw; policy accept;
        iifgroup {plan.group} jump early_from_workspace
    }}
    chain early_from_workspace {{
        meta nfproto != ipv4 drop
        ip saddr != {plan.pool} drop
        fib saddr . iif oif missing drop
    }}
    chain names {{
        type nat hook prerouting priority dstnat; policy accept;
        iifgroup {plan.group} ip daddr {plan.gateway} meta l4proto {{ tcp, udp }} th dport 53 \
dnat ip to {plan.gateway}:{forwarder_port}
    }}
"""


def _forwarded(plan: Plan, uplinks: tuple[str, ...]) -> str:
    """From workspaces to the world, and back; nothing between them."""
    return f"""\
    chain forward {{
        type filter hook forward priority filter; policy accept;
        iifgroup {plan.group} jump from_workspace
        oifgroup {plan.group} jump to_workspace
{_uplink_rules(uplinks)}    }}
    chain from_workspace {{
        meta nfproto != ipv4 drop
        oifgroup {plan.group} drop
        ct state invalid drop
        tcp flags syn / syn,rst tcp option maxseg size set rt mtu
        ct state established,related accept
        meta l4proto != {PROTOCOLS} drop
        update @rates {{ ip saddr limit rate over {NEW_PER_SECOND_MAX}/second \
burst {NEW_PER_SECOND_MAX * 2} packets }} drop
        add @connections {{ ip saddr ct count over {CONNECTIONS_MAX} }} drop
        ip daddr {{ {", ".join(map(str, METADATA))} }} {_REJECT}
{_trusted_rules(plan.trusted, with_port=True)}\
        meta l4proto {{ tcp, udp }} th dport {DNS_PORTS} {_REJECT}
{_trusted_rules(plan.trusted, with_port=False)}\
        tcp dport 25 {_REJECT}
        ip daddr @blocked {_REJECT}
        fib daddr type != unicast drop
        accept
    }}
    chain to_workspace {{
        meta nfproto ipv4 ct state established,related accept
        drop
    }}
"""


def _of_the_host(plan: Plan, forwarder_port: int) -> str:
    """Between workspaces and the host itself: questions for names and pings, no more."""
    return f"""\
    chain input {{
        type filter hook input priority filter; policy accept;
        iifgroup {plan.group} jump input_from_workspace
    }}
    chain input_from_workspace {{
        udp dport {forwarder_port} update @questions {{ ip saddr limit rate over \
{QUESTIONS_PER_SECOND_MAX}/second burst {QUESTIONS_PER_SECOND_MAX * 2} packets }} drop
        ip daddr {plan.gateway} meta l4proto {{ tcp, udp }} th dport {forwarder_port} \
ct status dnat accept
        ip daddr {plan.gateway} icmp type echo-request limit rate 50/second accept
        ct state new meta l4proto tcp reject with tcp reset
        drop
    }}
    chain output {{
        type filter hook output priority filter; policy accept;
        oifgroup {plan.group} jump output_to_workspace
    }}
    chain output_to_workspace {{
        meta nfproto ipv4 ct state established,related accept
        meta l4proto icmp accept
        drop
    }}
"""


def _leaving(plan: Plan) -> str:
    """The world sees the host's address."""
    return f"""\
    chain source {{
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr {plan.pool} oifgroup != {plan.group} oifname != "lo" masquerade
    }}
"""


def _trusted_rules(opened: tuple[Trusted, ...], *, with_port: bool) -> str:
    """Single ports come before the block of foreign name servers: to name one is to mean it."""
    lines: list[str] = []
    for entry in opened:
        if with_port and entry.port is not None:
            lines.append(f"ip daddr {entry.network} tcp dport {entry.port} accept")
            if entry.port == 53:
                lines.append(f"ip daddr {entry.network} udp dport 53 accept")
        elif not with_port and entry.port is None:
            lines.append(f"ip daddr {entry.network} accept")
    return "".join(f"        {line}\n" for line in lines)


def _uplink_rules(uplinks: tuple[str, ...]) -> str:
    return "".join(f'        iifname "{name}" ct state new,invalid drop\n' for name in uplinks)
