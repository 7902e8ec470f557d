"""The published JSON Schema says what the reader says."""

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from alcove.recipes.schema import schema
from tests.recipes.reading import LEAST, read_text
from tests.recipes.test_native import FULL

VALIDATOR: Any = Draft202012Validator(schema())


def loaded(text: str) -> object:
    yaml: Any = YAML(typ="safe", pure=True)
    return yaml.load(text)


def test_it_is_a_schema_of_its_draft() -> None:
    Draft202012Validator.check_schema(schema())
    assert schema()["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_field_is_described() -> None:
    def nameless(rule: dict[str, Any]) -> list[str]:
        below = rule.get("properties", {})
        missing = [name for name, part in below.items() if not part.get("description")]
        parts = [*below.values(), *([rule["items"]] if "items" in rule else [])]
        return missing + [name for part in parts for name in nameless(part)]

    assert nameless(schema()) == []


@pytest.mark.parametrize(
    "text",
    [
        LEAST,
        FULL,
        "image: {oci: 'registry.example.com/dev/python:3.13'}\n",
        LEAST + "kind: agent\nlifecycle: {ttl: null, ephemeral: true}\nenv: {}\n",
        LEAST + "parameters: [{name: l, type: list, default: [a, b], options: [a, b]}]\n",
    ],
)
def test_what_the_reader_takes_is_valid(text: str) -> None:
    assert read_text(text, setup_sh="true\n").recipe is not None
    assert list(VALIDATOR.iter_errors(loaded(text))) == []


@pytest.mark.parametrize(
    "text",
    [
        "kind: human\n",
        "image: {}\n",
        "image: {debian: bookworm, oci: a}\n",
        "image: {debian: buster}\n",
        "image: {oci: a, packages: [git]}\n",
        "image: {debian: bookworm, packages: [-git]}\n",
        "image: {debian: bookworm, packages: git}\n",
        "- a\n",
        *(
            LEAST + text
            for text in (
                "kindd: human\n",
                "kind: robot\n",
                "name: My Template\n",
                "name: ''\n",
                "description: 1\n",
                "icon: python.svg\n",
                "user: A\n",
                "root: full\n",
                "isolation: vm\n",
                "network: open\n",
                "network: {mode: all}\n",
                "resources: {cpu: two}\n",
                "resources: {cpu: 0}\n",
                "resources: {memory: 4G}\n",
                "resources: {memory: 0Gi}\n",
                "resources: {pids: 1.5}\n",
                "ceilings: {ttl: 24}\n",
                "ceilings: {networks: [all]}\n",
                "parameters: [{name: a}]\n",
                "parameters: [{name: 1a, type: bool}]\n",
                "parameters: [{name: a, type: text}]\n",
                "parameters: [{name: a, type: choice, options: [1]}]\n",
                "presets: [{name: a}]\n",
                "env: {A: 1}\n",
                "env: {1A: a}\n",
                "scripts: [{name: a}]\n",
                "scripts: [{name: a, run: b, when: stop}]\n",
                "scripts: [{name: a, run: b, timeout: 10}]\n",
                "lifecycle: {ttl: soon}\n",
                "lifecycle: {ephemeral: maybe}\n",
                "pool: {size: -1}\n",
            )
        ),
    ],
)
def test_what_is_wrong_by_itself_fails_in_both(text: str) -> None:
    assert read_text(text).recipe is None
    assert list(VALIDATOR.iter_errors(loaded(text))) != []
