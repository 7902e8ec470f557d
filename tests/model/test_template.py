"""The values of a template."""

from dataclasses import FrozenInstanceError, fields
from datetime import UTC, datetime

import pytest

from alcove.model.template import Ceilings, Parameter, ParameterType, Template, TemplateVersion
from alcove.model.workspace import NetworkMode
from tests.recipes.reading import recipe


def test_no_ceiling_of_its_own_allows_every_network() -> None:
    found = Ceilings(cpu_millis=None, memory_mib=None, disk_mib=None, pids=None, ttl_s=None)
    assert found.networks == tuple(NetworkMode)


def test_a_parameter_has_no_rules_unless_given() -> None:
    found = Parameter("p", ParameterType.LIST, "P", "", None, False, True)
    assert (found.min, found.max, found.pattern, found.options) == (None, None, None, ())


def test_a_version_cannot_be_changed() -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    of = recipe()
    version = TemplateVersion("x", 1, of, "sha256:0", "", now, "u")  # pyright: ignore[reportArgumentType]
    for value in (version, of, of.ceilings, of.lifecycle, Template("x", 1, 1, now, now)):
        with pytest.raises(FrozenInstanceError):
            setattr(value, fields(value)[0].name, None)


def test_the_types_are_those_of_the_documentation() -> None:
    assert [t.value for t in ParameterType] == ["string", "number", "bool", "choice", "list"]
