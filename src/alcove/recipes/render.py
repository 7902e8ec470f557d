"""A recipe and a request make a fully resolved Spec. Pure.

The one rule: nobody gets more than the ceilings, of the template and of the operator, whatever
they ask and however they ask it; more is refused with the field and the ceiling named, and never
made less in silence.
"""

import re
from collections.abc import Mapping
from typing import Final

from alcove.model.errors import FieldError, Invalid
from alcove.model.template import Ceilings, Parameter, ParameterValue, Preset, Recipe
from alcove.model.workspace import (
    Clone,
    Isolation,
    Lifetime,
    NetworkMode,
    OnExpiry,
    OnIdle,
    Resources,
    Spec,
)
from alcove.recipes import parameters, repository
from alcove.recipes.environment import environment
from alcove.recipes.problem import did_you_mean, listed, quoted
from alcove.recipes.rendering import Rendered as Rendered
from alcove.recipes.rendering import RenderRequest as RenderRequest
from alcove.recipes.wellknown import (
    AMOUNTS,
    WellKnown,
    amount,
    ceiling,
    check_amount,
    limit,
    plain,
    shown,
    value_of,
    well_known,
)

NO_CEILINGS: Final = Ceilings(
    cpu_millis=None, memory_mib=None, disk_mib=None, pids=None, ttl_s=None
)
PIDS_LEAST: Final = 16


def render(
    recipe: Recipe, request: RenderRequest, *, operator: Ceilings = NO_CEILINGS
) -> Rendered:
    """Resolve everything, or raise Invalid that names every field at fault.

    What stands on top of a request (`ttl`, `repo`, `cpu`, …) wins over the parameter of the same
    meaning, and must keep the rules which the template declared for that parameter.
    """
    return _Rendering(recipe, request, operator).finish()


class _Rendering:
    """One pass, in the order of `finish`; errors are collected."""

    def __init__(self, recipe: Recipe, request: RenderRequest, operator: Ceilings) -> None:
        self._recipe = recipe
        self._request = request
        self._ceilings = (("of the template", recipe.ceilings), ("of this server", operator))
        self._errors: list[FieldError] = []
        self._declared = {p.name: p for p in recipe.parameters}
        self._said: dict[str, str] = {}
        """How the caller wrote what became this parameter."""
        self._beside: dict[WellKnown, tuple[str, ParameterValue]] = {}
        """Asked for, and not a declared parameter."""
        self._given: frozenset[str] = frozenset()
        """Declared parameters that the request names."""

    def finish(self) -> Rendered:
        values = self._values()
        resources = self._resources(values)
        lifetime = self._lifetime(values)
        network, isolation = self._network(values), self._isolation()
        clone = self._clone(values)
        recipe, request = self._recipe, self._request
        env = environment(
            template=recipe.env, values=values, request=request.env, errors=self._errors
        )
        self._raise_errors()
        ephemeral = recipe.lifecycle.ephemeral if request.ephemeral is None else request.ephemeral
        spec = Spec(
            image=recipe.image,
            isolation=isolation,
            root=recipe.root,
            user=recipe.user,
            hostname=hostname(request.name),
            resources=resources,
            network=network,
            ephemeral=ephemeral,
            env=env,
            clone=clone,
            scripts=recipe.scripts,
            apps=recipe.apps,
            share_max=recipe.ceilings.share,
            files={**recipe.files, **request.files},
        )
        repo, branch = (clone.url, clone.branch) if clone else (None, None)
        return Rendered(spec, lifetime, values, repo, branch)

    def _raise_errors(self) -> None:
        if not self._errors:
            return
        first = self._errors[0]
        more = f" (and {len(self._errors) - 1} more)" if len(self._errors) > 1 else ""
        raise Invalid(f"{first.field}: {first.message}{more}", self._errors)

    def _values(self) -> dict[str, ParameterValue]:
        """Of the declared parameters: preset, what was given, what stands on top, defaults."""
        request = self._request
        asked = {name: self._plain(name, value) for name, value in request.parameters.items()}
        given = parameters.read(self._recipe.parameters, asked, strings=request.strings)
        self._errors += given.errors
        self._given = frozenset(given.declared)
        values = {**self._preset(), **given.declared}
        for name, value in given.beside.items():
            self._ask(parameters.field(name), name, value, values)
        on_top: tuple[tuple[WellKnown, str | None], ...] = (
            (WellKnown.REPO, request.repo),
            (WellKnown.BRANCH, request.branch),
            (WellKnown.NETWORK, request.network),
        )
        for name, text in on_top:
            if text is not None:
                self._ask(name, name, str(self._plain(name, str(text))), values)
        amounts = (
            (WellKnown.CPU, request.cpu_millis),
            (WellKnown.MEMORY, request.memory_mib),
            (WellKnown.DISK, request.disk_mib),
            (WellKnown.TTL, request.ttl_s),
        )
        for name, number in amounts:
            if number is not None and self._fits(name, number):
                self._ask_amount(name, name, number, values)
        filled, missing = parameters.with_defaults(self._recipe.parameters, values)
        # One that was given and refused is not also missing.
        refused = {e.field for e in self._errors}
        self._errors += [e for e in missing if e.field not in refused]
        for name in (WellKnown.REPO, WellKnown.BRANCH):
            if name in filled:
                filled[name] = str(self._plain(name, filled[name]))
        return filled

    def _plain(self, name: str, value: object) -> object:
        known = well_known(name)
        return value if known is None else plain(self._declared.get(name), known, value)

    def _preset(self) -> Mapping[str, ParameterValue]:
        name = self._request.preset
        if name is None:
            return {}
        presets: dict[str, Preset] = {p.name: p for p in self._recipe.presets}
        if name in presets:
            return presets[name].parameters
        said = f"the template has no preset {quoted(name)}{did_you_mean(name, presets)}"
        self._error("preset", said)
        return {}

    def _ask(
        self, said: str, name: WellKnown, value: ParameterValue, values: dict[str, ParameterValue]
    ) -> None:
        """Take a well-known value that is not given as the declared parameter of its name."""
        if name in AMOUNTS:
            try:
                found = amount(name, value)
            except ValueError as error:
                self._error(said, str(error))
            else:
                self._ask_amount(said, name, found, values)
        elif name in self._declared:
            self._give(said, self._declared[name], value, values)
        else:
            self._beside[name] = (said, value)

    def _ask_amount(
        self, said: str, name: WellKnown, found: int, values: dict[str, ParameterValue]
    ) -> None:
        parameter = self._driver(name)
        among = said == parameters.field(name)
        if parameter is not None:
            if among and parameter.name in self._given:
                self._error(said, f"and {parameter.name} mean the same; give one of them")
            declared = WellKnown(parameter.name)
            self._give(said, parameter, value_of(parameter, declared, found), values)
            return
        if among and limit(name) in self._beside:
            other = self._beside[limit(name)][0]
            self._error(said, f"and {other} mean the same; give one of them")
        self._beside[limit(name)] = (said, found)

    def _driver(self, name: WellKnown) -> Parameter | None:
        """The declared parameter that drives the same limit."""
        for parameter in self._recipe.parameters:
            known = well_known(parameter.name)
            if known is not None and limit(known) is limit(name):
                return parameter
        return None

    def _give(
        self,
        said: str,
        parameter: Parameter,
        value: ParameterValue,
        values: dict[str, ParameterValue],
    ) -> None:
        try:
            values[parameter.name] = parameters.coerce(parameter, value, strings=False)
            self._said[parameter.name] = said
        except ValueError as error:
            same = said in (parameter.name, parameters.field(parameter.name))
            self._error(said, str(error) if same else f"as {parameter.name}: {error}")
            values.pop(parameter.name, None)

    def _limit(
        self, name: WellKnown, values: Mapping[str, ParameterValue], default: int | None
    ) -> int | None:
        """The amount in effect, held against the ceilings."""
        said, found = self._asked(name, values)
        by_default = "" if found is not None else "the template's "
        if found is None:
            said, found = name, default
        if found is not None:
            for whose, ceilings in self._ceilings:
                most = ceiling(name, ceilings)
                if most is not None and found > most:
                    over = f"{shown(name, found)} is over the ceiling {shown(name, most)}"
                    self._error(said, f"{by_default}{over} {whose}")
        return found

    def _asked(
        self, name: WellKnown, values: Mapping[str, ParameterValue]
    ) -> tuple[str, int | None]:
        if name in self._beside:
            said, found = self._beside[name]
            assert isinstance(found, int)
            return said, found
        parameter = self._driver(name)
        value = None if parameter is None else values.get(parameter.name)
        if parameter is None or value is None or value == "":
            return "", None
        said = self._said.get(parameter.name, parameters.field(parameter.name))
        try:
            return said, amount(WellKnown(parameter.name), value)
        except ValueError as error:
            self._error(said, str(error))
            return said, None

    def _resources(self, values: Mapping[str, ParameterValue]) -> Resources:
        default = self._recipe.resources
        return Resources(
            cpu_millis=self._limit(WellKnown.CPU, values, default.cpu_millis)
            or default.cpu_millis,
            memory_mib=self._limit(WellKnown.MEMORY, values, default.memory_mib)
            or default.memory_mib,
            disk_mib=self._limit(WellKnown.DISK, values, default.disk_mib) or default.disk_mib,
            pids=self._pids(),
        )

    def _pids(self) -> int:
        asked = self._request.pids
        found = self._recipe.resources.pids if asked is None else asked
        if found < PIDS_LEAST:
            self._error("pids", f"{quoted(found)} is under the least, {PIDS_LEAST}")
        for whose, ceilings in self._ceilings:
            if ceilings.pids is not None and found > ceilings.pids:
                self._error("pids", f"{quoted(found)} is over the ceiling {ceilings.pids} {whose}")
        return found

    def _lifetime(self, values: Mapping[str, ParameterValue]) -> Lifetime:
        lifecycle = self._recipe.lifecycle
        found = self._limit(WellKnown.TTL, values, lifecycle.ttl_s)
        if found is None:
            # Nobody asked for "for ever", so ending at the ceiling takes nothing away.
            longest = [c.ttl_s for _, c in self._ceilings if c.ttl_s is not None]
            found = min(longest, default=None)
        asked = self._request
        on_expiry = asked.on_expiry or lifecycle.on_expiry
        on_idle = asked.on_idle or lifecycle.on_idle
        resume = lifecycle.auto_resume if asked.auto_resume is None else asked.auto_resume
        pauses = on_expiry is OnExpiry.PAUSE or on_idle is OnIdle.PAUSE
        return Lifetime(
            ttl_s=found,
            idle_stop_s=lifecycle.idle_stop_s if asked.idle_stop_s is None else asked.idle_stop_s,
            runtime_max_s=lifecycle.runtime_max_s,
            unused_delete_s=lifecycle.unused_delete_s,
            on_expiry=on_expiry,
            on_idle=on_idle,
            auto_resume=pauses if resume is None else resume,
        )

    def _network(self, values: Mapping[str, ParameterValue]) -> NetworkMode:
        said, asked = self._text(WellKnown.NETWORK, values)
        said = said if asked else WellKnown.NETWORK
        try:
            mode = NetworkMode(asked) if asked else self._recipe.network
        except ValueError:
            self._error(said, f"{quoted(asked)} is not {listed(NetworkMode)}")
            return self._recipe.network
        for whose, ceilings in self._ceilings:
            if mode not in ceilings.networks:
                allowed = listed(ceilings.networks) or "no mode"
                self._error(said, f"{mode} is over the ceiling {allowed} {whose}")
        return mode

    def _isolation(self) -> Isolation:
        """As asked. Whether it may be that weak is for the policies, which know more."""
        return self._request.isolation or self._recipe.isolation

    def _text(self, name: WellKnown, values: Mapping[str, ParameterValue]) -> tuple[str, str]:
        if name in self._beside:
            said, value = self._beside[name]
        else:
            said = self._said.get(name, parameters.field(name))
            value = values.get(name, "")
        return said, str(value)

    def _clone(self, values: Mapping[str, ParameterValue]) -> Clone | None:
        said, repo = self._text(WellKnown.REPO, values)
        url = ""
        try:
            url = repository.normalise(repo) if repo else ""
        except ValueError as error:
            self._error(said, str(error))
        said, name = self._text(WellKnown.BRANCH, values)
        branch = None
        try:
            branch = repository.check_branch(name) if name else None
        except ValueError as error:
            self._error(said, str(error))
        by_default = self._declared.get(WellKnown.BRANCH)
        if branch and not repo and not (by_default and by_default.default == name):
            self._error(said, "has no meaning without a repo")
        if not url:
            return None
        author = _one_line(self._request.owner_name) or "Alcove"
        email = _one_line(self._request.owner_email)
        return Clone(
            url=url,
            branch=branch,
            directory=repository.directory(url),
            author_name=author,
            author_email=email or f"{hostname(author)}@localhost",
        )

    def _fits(self, name: WellKnown, asked: int) -> bool:
        try:
            check_amount(name, asked)
        except ValueError as error:
            self._error(name, str(error))
            return False
        return True

    def _error(self, said: str, message: str) -> None:
        self._errors.append(FieldError(str(said), message))


def hostname(name: str) -> str:
    """A DNS label made from the workspace's name (RFC 1123)."""
    label = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].rstrip("-")
    return label or "workspace"


def _one_line(text: str) -> str:
    """Git takes no line breaks or angle brackets in an author; what JSON can smuggle in goes."""
    plain = "".join(c if c.isprintable() and c not in "<>" else " " for c in text)
    return " ".join(plain.split())[:200]
