"""`alcove host`: the privileged half of the local driver.

Run by root; `--teardown` instead removes everything that a former run left but volumes and images.
One rule: it refuses to start on ground that is not root's own.
"""

import argparse
import fcntl
import logging
import os
import pwd
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from alcove import config
from alcove.host.daemon import Daemon
from alcove.host.doorkeeper import Doorkeeper
from alcove.host.ground import Ground
from alcove.host.host import Host
from alcove.host.idmaps import IdMaps
from alcove.host.images.library import ImageLibrary
from alcove.host.network import OpenNetwork
from alcove.host.ports import Images, Network
from alcove.host.settings import HostSettings
from alcove.host.syscalls import become_subreaper, keep_capabilities
from alcove.model.errors import AlcoveError, DriverError

log: Final = logging.getLogger(__name__)
_DATA_DIR_MAX: Final = 60
"""The kernel takes socket paths of 107 bytes, and the agents' sockets are below the data dir."""
_LOCK_WAIT_S: Final = 15.0
_CAPABILITIES: Final = frozenset(
    {
        0,  # CHOWN
        1,  # DAC_OVERRIDE
        2,  # DAC_READ_SEARCH
        3,  # FOWNER
        4,  # FSETID
        5,  # KILL
        6,  # SETGID
        7,  # SETUID: id mappings, and becoming the users of builds and the name forwarder
        8,  # SETPCAP
        10,  # NET_BIND_SERVICE: the name forwarder's port
        12,  # NET_ADMIN: interfaces and rules
        13,  # NET_RAW
        18,  # SYS_CHROOT
        19,  # SYS_PTRACE: looking at the first process of a workspace
        21,  # SYS_ADMIN: mounts, namespaces, loop devices, cgroups
        24,  # SYS_RESOURCE: limits
        27,  # MKNOD: whiteouts of image layers
        31,  # SETFCAP: file capabilities in images
    }
)
"""What the work takes. Given up: modules, raw I/O, BPF, the clock, reboot, audit, kernel log."""


def main(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT; running workspaces live on."""
    parser = argparse.ArgumentParser(prog="alcove host", description=__doc__)
    parser.add_argument(
        "--teardown",
        action="store_true",
        help="stop all workspaces and remove what is left of them, but volumes and images",
    )
    arguments = parser.parse_args(list(argv[1:]))
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    try:
        settings = host_settings(config.load())
        id_maps = prepare(settings)
        images, network = _parts(settings)
        if arguments.teardown:
            return tear_down(settings, id_maps, images, network)
        return serve(settings, id_maps, images, network)
    except AlcoveError as error:
        sys.stderr.write(f"alcove host: {error}\n")
        return 1


def host_settings(settings: config.Settings) -> HostSettings:
    """The part of the operator's settings that the privileged process is given."""
    return HostSettings(
        data_dir=settings.data_dir,
        agent=Path(config.__file__).with_name("bin") / "alcove-agent",
        instance=settings.instance,
        server_user=settings.server_user,
        network_pool=settings.network_pool,
        trusted_networks=settings.trusted_networks,
        ca_bundle=settings.ca_bundle,
        http_proxy=settings.http_proxy,
        https_proxy=settings.https_proxy,
        no_proxy=settings.no_proxy,
        debian_mirror=settings.debian_mirror,
        pip_index_url=settings.pip_index_url,
        npm_registry=settings.npm_registry,
        goproxy=settings.goproxy,
        registry_auth_file=settings.registry_auth_file,
        insecure_registries=settings.insecure_registries,
    )


def prepare(settings: HostSettings) -> IdMaps:
    """Check the ground, make the directories and the one helper that has to be made before any
    thread. Raises DriverError, saying what to do."""
    if os.geteuid() != 0:
        raise DriverError("it makes mounts and namespaces, so it has to be root", retry=False)
    if len(str(settings.data_dir)) > _DATA_DIR_MAX:
        raise DriverError(
            f"the data directory's path is over {_DATA_DIR_MAX} characters: {settings.data_dir}",
            retry=False,
        )
    os.umask(0o077)
    keep_capabilities(_CAPABILITIES)
    _check_owner(settings.data_dir)
    _, gid = server_ids(settings)
    for path, mode, group in (
        (settings.data_dir, 0o711, 0),
        (settings.host_dir, 0o711, 0),
        (settings.host_dir / "workspaces", 0o711, 0),
        (settings.host_dir / "volumes", 0o700, 0),
        (settings.host_dir / "agent", 0o711, 0),
        (settings.images_dir, 0o711, 0),
        (settings.data_dir / "run", 0o711, 0),
        (settings.data_dir / "run/agents", 0o750, gid),
    ):
        path.mkdir(parents=True, exist_ok=True)
        os.chown(path, 0, group)
        path.chmod(mode)
    id_maps = IdMaps()
    _take_lock(settings.host_dir / "lock")
    become_subreaper()
    return id_maps


def serve(settings: HostSettings, id_maps: IdMaps, images: Images, network: Network) -> int:
    uid, gid = server_ids(settings)
    ground = Ground(settings, id_maps=id_maps, socket_gid=gid)
    host = Host(settings, images=images, network=network, ground=ground)
    host.tidy()
    host.open_network()
    ground.doors.reopen()
    doorkeeper = Doorkeeper(settings.data_dir / "run", ground.hand_door, uids={0, uid}, gid=gid)
    daemon = Daemon(settings, host, server_uid=uid, socket_gid=gid)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: daemon.stop())
    log.info("serving at %s", settings.data_dir / "run/host.sock")
    daemon.serve()
    doorkeeper.stop()
    host.close()
    return 0


def tear_down(settings: HostSettings, id_maps: IdMaps, images: Images, network: Network) -> int:
    _, gid = server_ids(settings)
    ground = Ground(settings, id_maps=id_maps, socket_gid=gid)
    host = Host(settings, images=images, network=network, ground=ground)
    left = host.teardown()
    ground.runsc.tear_down()
    (settings.data_dir / "run/host.sock").unlink(missing_ok=True)
    for what in left:
        sys.stderr.write(f"alcove host: could not remove {what}\n")
    return 1 if left else 0


def server_ids(settings: HostSettings) -> tuple[int, int]:
    """The uid and gid of the unprivileged server, the one user that may speak to us."""
    try:
        user = pwd.getpwnam(settings.server_user)
    except KeyError:
        raise DriverError(
            f"there is no user {settings.server_user!r}; make one with"
            f" `useradd --system --home-dir {settings.data_dir} {settings.server_user}`",
            retry=False,
        ) from None
    return user.pw_uid, user.pw_gid


def _check_owner(data_dir: Path) -> None:
    """Every directory on the way has to be root's and nobody else's to write: whoever can rename
    one of them decides what we mount."""
    for path in (data_dir, *data_dir.parents):
        if not path.exists():
            continue
        seen = path.lstat()
        sticky = seen.st_mode & 0o1000
        if seen.st_uid != 0 or (seen.st_mode & 0o022 and not sticky):
            raise DriverError(
                f"{path} can be changed by others than root (owner {seen.st_uid},"
                f" mode {seen.st_mode & 0o7777:o}); chown root: and chmod go-w it",
                retry=False,
            )


def _take_lock(path: Path) -> None:
    """One host process for a data directory. The descriptor is kept open until we end."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise DriverError(
                    f"another host process uses {path.parent.parent}; stop it first", retry=True
                ) from None
            time.sleep(0.1)
        else:
            return


def _parts(settings: HostSettings) -> tuple[Images, Network]:
    return ImageLibrary(settings), OpenNetwork(settings)
