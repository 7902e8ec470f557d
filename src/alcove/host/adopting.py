"""`adopt`: a running workspace is changed to another Spec, in a few milliseconds.

Everything that it does may be done again, and the record is changed last: what was cut off is
found different from the record, and done again. One rule: what cannot be changed is refused
before anything is.
"""

import os
import socket
import threading
from typing import Final

from alcove.host import layer
from alcove.host.parts import Parts
from alcove.host.runtime import Process
from alcove.host.specs import check
from alcove.host.state import Record, Stage, alive
from alcove.host.syscalls import Namespace, enter_namespace
from alcove.model.errors import DriverError, Unsupported
from alcove.model.workspace import Isolation, NetworkMode, Spec, WorkspaceId

_NAMING_TIMEOUT_S: Final = 5.0


def adopt(parts: Parts, workspace: WorkspaceId, spec: Spec) -> None:
    """Give what runs the host name, limits and network mode of `spec`. Raises Unsupported naming
    the field that cannot be changed, DriverError for what the machine refused."""
    check(spec)
    with parts.turns.of(workspace):
        record = parts.records.get(workspace)
        process = alive(record)
        if record is None or process is None:
            raise DriverError(f"{workspace} does not run; start it first", retry=True)
        if record.stage is Stage.PAUSED:
            raise DriverError(f"{workspace} is paused; resume it first", retry=True)
        if field := unchangeable(record, spec):
            raise Unsupported(f"{field}: cannot be changed while {workspace} runs")
        parts.need_network(spec.network)
        _change(parts, workspace, record, process, spec)


def unchangeable(record: Record, spec: Spec) -> str | None:
    """The first field that a running workspace keeps, though `spec` has another. Pure."""
    network = {record.network, str(spec.network)}
    disk_mib = record.resources.disk_mib if record.resources else spec.resources.disk_mib
    differs = {
        "image": record.image != spec.image.key,
        "isolation": record.isolation is not spec.isolation,
        "root": record.root != spec.root,
        "user": record.user != spec.user,
        "disk_mib": disk_mib != spec.resources.disk_mib,
        "network": len(network) > 1 and record.isolation is not Isolation.CONTAINER,
    }
    return next((name for name, other in differs.items() if other), None)


def _change(
    parts: Parts, workspace: WorkspaceId, record: Record, process: Process, spec: Spec
) -> None:
    step = parts.crash.step
    with step("adopt", "limits"):
        if record.resources != spec.resources:
            runtime = parts.ground.runtime(record.isolation)
            parts.ground.cgroups.set_limits(workspace, runtime.held_to(spec.resources))
    with step("adopt", "name"):
        if record.hostname != spec.hostname:
            _rename(parts, workspace, record, process, spec.hostname)
    with step("adopt", "network"):
        if record.network != spec.network:
            if spec.network is NetworkMode.OPEN:
                parts.network.attach(workspace, process.pid, record.slot)
            else:
                parts.network.detach(workspace)
    with step("adopt", "keep"):
        parts.records.note(
            workspace,
            hostname=spec.hostname,
            resources=spec.resources,
            network=str(spec.network),
        )


def _rename(
    parts: Parts, workspace: WorkspaceId, record: Record, process: Process, hostname: str
) -> None:
    try:
        layer.rename(parts.ground.directory(workspace) / "layer", hostname)
        if record.isolation is Isolation.CONTAINER:
            _set_host_name(process, hostname)
    except OSError as error:
        raise DriverError(f"cannot rename {workspace}: {error}", retry=True) from error


def _set_host_name(process: Process, hostname: str) -> None:
    """On a thread of its own, which ends with the namespace that it entered."""
    failure: list[Exception] = []

    def run() -> None:
        try:
            enter_namespace(namespace, Namespace.UTS)
            socket.sethostname(hostname)
        except OSError as error:
            failure.append(error)

    namespace = os.open(f"/proc/{process.pid}/ns/uts", os.O_RDONLY | os.O_CLOEXEC)
    try:
        thread = threading.Thread(target=run, name="uts", daemon=True)
        thread.start()
        thread.join(_NAMING_TIMEOUT_S)
    finally:
        os.close(namespace)
    if failure:
        raise failure[0]
