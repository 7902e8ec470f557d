"""A Network that connects nobody: these tests are about everything else."""

from alcove.model.errors import DriverError
from alcove.model.workspace import WorkspaceId


class ClosedNetwork:
    def setup(self) -> None:
        return

    def teardown(self) -> None:
        return

    def attach(self, workspace: WorkspaceId, pid: int, slot: int) -> None:
        raise DriverError("this host connects no workspaces; ask for network none", retry=False)

    def detach(self, workspace: WorkspaceId) -> None:
        return

    def inventory(self) -> set[WorkspaceId]:
        return set()

    def resolv_conf(self) -> str:
        return ""
