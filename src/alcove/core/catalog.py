"""Template versions that were looked up a moment ago, with the pools that they have.

Creating a workspace must not read what hardly ever changes. What this server changes is forgotten
at once; what another one changed is seen after `KEPT`.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from alcove.config import Settings
from alcove.core.deciding import default_isolation
from alcove.core.rendering import rendered
from alcove.core.start_times import StartTimes
from alcove.drivers.base import Capabilities
from alcove.model.access import Role
from alcove.model.errors import Conflict, Invalid, NotFound
from alcove.model.identity import User
from alcove.model.pool import KEEPER, PoolSettings, pool_key
from alcove.model.template import Recipe, TemplateVersion
from alcove.model.workspace import Isolation, Spec
from alcove.store import pools, templates
from alcove.store.db import Database, Tx
from alcove.wire.workspaces import NewWorkspace

KEPT: Final = timedelta(seconds=1)
ENTRIES_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool of one template version: what it is to be, and what its members are made of."""

    key: str
    template: str
    version: int
    isolation: Isolation
    settings: PoolSettings
    own: bool
    """Whether the settings are the template's, and no operator's."""
    spec: Spec | None
    problem: str = ""
    """Why there can be no members: the template cannot be rendered without being asked."""


@dataclass(frozen=True, slots=True)
class Entry:
    version: TemplateVersion
    pools: Mapping[Isolation, Pool]
    """Those that are on."""


@dataclass(frozen=True, slots=True)
class _Seen:
    entry: Entry
    until: datetime


@dataclass(slots=True)
class Catalog:
    """One per server."""

    member_mib: dict[str, int] = field(default_factory=dict[str, int])
    """What one member uses, by pool, in the mean; on the server that keeps the pools."""
    starts: StartTimes = field(default_factory=StartTimes)
    _seen: "OrderedDict[tuple[str, int | None], _Seen]" = field(
        default_factory=OrderedDict[tuple[str, int | None], _Seen]
    )
    _specs: "OrderedDict[tuple[str, int, Isolation], Spec | str]" = field(
        default_factory=OrderedDict[tuple[str, int, Isolation], Spec | str]
    )

    async def entry(
        self,
        db: Database,
        name: str,
        number: int | None,
        *,
        settings: Settings,
        capabilities: Capabilities,
        now: datetime,
    ) -> Entry:
        """The version, the promoted one unless a number is given. Raises NotFound, Conflict."""
        seen = self._seen.get((name, number))
        if seen is not None and now < seen.until:
            return seen.entry
        async with db.read() as tx:
            version = await _version(tx, name, number)
            overrides = await pools.settings(tx, name)
        found = self.pools_of(version, overrides, settings=settings, capabilities=capabilities)
        entry = Entry(version, {pool.isolation: pool for pool in found if pool.settings.on})
        self._seen[name, number] = _Seen(entry, now + KEPT)
        self._seen.move_to_end((name, number))
        if len(self._seen) > ENTRIES_MAX:
            self._seen.popitem(last=False)
        return entry

    def forget(self, name: str) -> None:
        """Its versions, or its pools, were changed here."""
        for key in [key for key in self._seen if key[0] == name]:
            del self._seen[key]

    def pools_of(
        self,
        version: TemplateVersion,
        overrides: Mapping[tuple[str, Isolation], PoolSettings],
        *,
        settings: Settings,
        capabilities: Capabilities,
    ) -> list[Pool]:
        """The template's own pool first, as it is or as an operator set it; then those set beside
        it."""
        recipe = version.recipe
        own = default_isolation(recipe, settings=settings, capabilities=capabilities)
        wanted = {own: recipe.pool} | {
            isolation: found
            for (template, isolation), found in overrides.items()
            if template == version.template
        }
        return [
            self._pool(
                version,
                isolation,
                found,
                settings,
                own=(version.template, isolation) not in overrides,
            )
            for isolation, found in sorted(wanted.items(), key=lambda item: item[0] is not own)
        ]

    def _pool(
        self,
        version: TemplateVersion,
        isolation: Isolation,
        found: PoolSettings,
        settings: Settings,
        *,
        own: bool,
    ) -> Pool:
        key = (version.template, version.number, isolation)
        if key not in self._specs:
            self._specs[key] = _member(version.recipe, isolation, settings)
            if len(self._specs) > ENTRIES_MAX:
                self._specs.popitem(last=False)
        made = self._specs[key]
        return Pool(
            key=pool_key(version.template, version.number, isolation),
            template=version.template,
            version=version.number,
            isolation=isolation,
            settings=found,
            own=own,
            spec=None if isinstance(made, str) else made,
            problem=made if isinstance(made, str) else "",
        )


def _member(recipe: Recipe, isolation: Isolation, settings: Settings) -> Spec | str:
    """What a member is made of: what nobody asked anything of, without what a claim gives; or
    why there is no such thing."""
    optional = tuple(replace(p, required=False) for p in recipe.parameters)
    try:
        made = rendered(
            replace(recipe, parameters=optional),
            NewWorkspace(template=recipe.name),
            name="pool",
            owner=_NOBODY,
            settings=settings,
        )
    except Invalid as error:
        return f"the template cannot be rendered without being asked: {error}"
    # Ephemeral: one that ends is never started again.
    bare = replace(made.spec, env={}, clone=None, scripts=(), files={}, apps=())
    return replace(bare, isolation=isolation, ephemeral=True)


async def _version(tx: Tx, name: str, number: int | None) -> TemplateVersion:
    if number is None:
        for active in await templates.active_versions(tx, [name]):
            return active
    elif (found := await templates.version(tx, name, number)) is not None:
        return found
    template = await templates.get(tx, name)
    if template is None:
        raise NotFound(f"there is no template {name!r}")
    if number is None:
        raise Conflict(f"template {name!r} has no promoted version yet; promote one")
    raise NotFound(f"template {name!r} has no version {number}; latest is {template.latest}")


_NOBODY: Final = User(
    id=KEEPER,
    name="pool",
    display_name="",
    email="",
    role=Role.MEMBER,
    service=True,
    disabled=True,
    created_at=datetime.min.replace(tzinfo=UTC),
)
