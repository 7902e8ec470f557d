"""A Git server over HTTP (`git http-backend`) in a network namespace of its own.

Workspaces reach it as they would reach a company's forge: over the network, at an address that
the operator trusts. 198.51.100.0/24 is set aside for documentation (RFC 5737), so it is nobody's.
"""

import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from socket import create_connection
from typing import Final

HOST_SIDE: Final = "198.51.100.1"
ADDRESS: Final = "198.51.100.2"
PORT: Final = 8080
NAMESPACE: Final = "alcove-demo-git"
INTERFACE: Final = "alcdemogit"

_BACKEND: Final = Path(__file__).with_name("backend.py")


@contextmanager
def serving(repositories: Path) -> Generator[str]:
    """Serve every bare repository below a directory; gives the base URL."""
    _remove()
    _ip("netns", "add", NAMESPACE)
    try:
        peer = ["peer", "name", "eth0", "netns", NAMESPACE]
        _ip("link", "add", INTERFACE, "type", "veth", *peer)
        _ip("addr", "add", f"{HOST_SIDE}/30", "dev", INTERFACE)
        _ip("link", "set", INTERFACE, "up")
        _ip("-n", NAMESPACE, "addr", "add", f"{ADDRESS}/30", "dev", "eth0")
        _ip("-n", NAMESPACE, "link", "set", "eth0", "up")
        _ip("-n", NAMESPACE, "link", "set", "lo", "up")
        _ip("-n", NAMESPACE, "route", "add", "default", "via", HOST_SIDE)
        # Not `ip netns exec`: that copies all mounts, and would keep volumes of others busy.
        inside = ["nsenter", f"--net=/run/netns/{NAMESPACE}", "python3", str(_BACKEND)]
        server = subprocess.Popen([*inside, str(repositories), ADDRESS, str(PORT)])
        try:
            _wait()
            yield f"http://{ADDRESS}:{PORT}"
        finally:
            server.terminate()
            server.wait()
    finally:
        _remove()


def _wait() -> None:
    for _ in range(100):
        try:
            create_connection((ADDRESS, PORT), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"the Git server does not answer at {ADDRESS}:{PORT}")


def _remove() -> None:
    for command in (["link", "del", INTERFACE], ["netns", "del", NAMESPACE]):
        subprocess.run(["ip", *command], capture_output=True, check=False)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
