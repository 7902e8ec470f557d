"""What holds for every module of the model, so that nobody has to look."""

import dataclasses
import enum
import importlib
import pkgutil

import pytest

from alcove import model
from alcove.model.access import Permission
from alcove.model.event import EventKind
from alcove.model.workspace import Isolation, strength

MODULES = [
    importlib.import_module(f"{model.__name__}.{found.name}")
    for found in pkgutil.iter_modules(model.__path__)
]
VALUES = [
    value
    for module in MODULES
    for value in vars(module).values()
    if isinstance(value, type)
    and dataclasses.is_dataclass(value)
    and value.__module__ == module.__name__
]


@pytest.mark.parametrize("value", VALUES)
def test_a_value_cannot_be_changed_nor_given_a_field_that_it_has_not(value: type) -> None:
    assert vars(value)["__dataclass_params__"].frozen
    assert "__slots__" in vars(value)


@pytest.mark.parametrize("words", [Permission, EventKind])
def test_long_lists_of_words_are_alphabetical(words: type[enum.StrEnum]) -> None:
    assert [word.value for word in words] == sorted(word.value for word in words)


def test_the_stronger_isolation_is_the_one_with_less_of_the_hosts_kernel() -> None:
    ranked = sorted(Isolation, key=strength)
    assert ranked == [Isolation.CONTAINER, Isolation.GVISOR, Isolation.MICROVM]
