"""The documents' examples run, and the reference leaves nothing out."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from alcove.cli.app import app
from alcove.sdk import errors
from tests.sdk.served import Served

DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = [
    pytest.param(code, id=f"{page.parent.name}-{page.stem}-{number}")
    for page in (DOCS / "sdk.md", DOCS / "agents/README.md")
    for number, code in enumerate(
        re.findall(r"<!-- run -->\n```python\n(.*?)```", page.read_text(), re.DOTALL)
    )
]


@pytest.mark.root
@pytest.mark.parametrize("code", EXAMPLES)
def test_an_example_runs(served: Served, tmp_path: Path, code: str) -> None:
    # The templates that the documents name are not on this server; this one runs as they do.
    for name in ("python", "ai-agent-sandbox"):
        for make in ("create", "sandbox"):
            here = f'{make}("plain", env={{"SHELL": "/bin/sh"}}'
            code = code.replace(f'{make}("{name}"', here)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=served.environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 4


def test_every_command_is_documented() -> None:
    text = (DOCS / "cli.md").read_text()
    names = [command.name for command in app.registered_commands if not command.hidden]
    names += [
        f"{group.name} {command.name}"
        for group in app.registered_groups
        if group.typer_instance is not None
        for command in group.typer_instance.registered_commands
    ]
    marked = " ".join(re.findall(r"`([^`]*)`", text))
    assert [n for n in names if n and not re.search(rf"\b{n.split()[-1]}\b", marked)] == []


def test_every_error_is_documented() -> None:
    text = (DOCS / "sdk.md").read_text()
    kinds = [
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, errors.AlcoveError)
    ]
    assert [name for name in kinds if f"`{name}`" not in text and f".{name}`" not in text] == []
