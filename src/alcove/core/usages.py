"""What workspaces use now, for showing it."""

from collections.abc import Mapping, Sequence

from alcove.core.app import Core
from alcove.drivers.base import Metered, Usage
from alcove.model.errors import AlcoveError
from alcove.model.workspace import WorkspaceId


async def latest(core: Core, ids: Sequence[WorkspaceId]) -> Mapping[WorkspaceId, Usage]:
    """The last sample where the timers run here, else a look at the driver; never an error."""
    found = {id: core.usages[id] for id in ids if id in core.usages}
    missing = [id for id in ids if id not in found]
    if missing and isinstance(core.driver, Metered):
        try:
            found |= await core.driver.usage(missing)
        except AlcoveError:
            return found
    return found
