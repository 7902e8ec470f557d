"""Reading a template: what is taken, what is refused and with which words."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.model.image import DebianImage, OciImage
from alcove.model.template import Ceilings, LifecycleDefaults, Parameter, ParameterType, Preset
from alcove.model.workspace import Isolation, Kind, NetworkMode, Resources, RootMode, Script
from alcove.recipes.native import read
from alcove.recipes.problem import Severity
from tests.recipes.reading import LEAST, problems, read_text, recipe

FULL = """\
name: python
display_name: Python 3
description: |
  Python.
icon: /icon/python.svg
kind: human
image:
  debian: bookworm
  packages: [git, python3-venv]
user: dev
root: contained
isolation: container
resources: {cpu: 2, memory: 4Gi, disk: 10Gi, pids: 1024}
ceilings: {cpu: 8, memory: 16Gi, disk: 50Gi, ttl: 24h}
parameters:
  - {name: cpu, type: number, default: 2, min: 1, max: 8, description: Cores.}
  - {name: python, type: choice, default: "3.13", options: ["3.12", "3.13"]}
presets: [{name: big, parameters: {cpu: 8}}]
env: {UV_CACHE_DIR: /cache/uv}
scripts: [{name: tools, when: start, run: ./setup.sh, blocks_login: true, timeout: 10m}]
lifecycle: {idle_stop: 30m, ttl: 4h, delete_after_unused: 7d}
network: {mode: open}
pool: {size: 0}
"""


def test_the_documented_example_is_read_whole() -> None:
    reading = read_text(FULL, setup_sh="#!/bin/sh\necho hello\n")
    assert reading.problems == ()
    found = reading.recipe
    assert found is not None
    assert found.image == DebianImage("bookworm", ("git", "python3-venv"), "dev", sudo=True)
    assert found.resources == Resources(2000, 4096, 10240, 1024)
    assert found.ceilings == Ceilings(8000, 16384, 51200, None, 86400, tuple(NetworkMode))
    assert found.parameters[1] == Parameter(
        name="python",
        type=ParameterType.CHOICE,
        display_name="python",
        description="",
        default="3.13",
        required=False,
        mutable=True,
        options=("3.12", "3.13"),
    )
    assert found.presets == (Preset("big", "", {"cpu": 8}),)
    assert found.env == {"UV_CACHE_DIR": "/cache/uv"}
    assert found.scripts == (Script("tools", "#!/bin/sh\necho hello\n", True, 600),)
    assert found.lifecycle == LifecycleDefaults(4 * 3600, 1800, None, 7 * 86400, False)
    assert (found.kind, found.root, found.isolation, found.network, found.user) == (
        Kind.HUMAN,
        RootMode.CONTAINED,
        Isolation.CONTAINER,
        NetworkMode.OPEN,
        "dev",
    )
    assert (found.name, found.display_name, found.icon) == (
        "python",
        "Python 3",
        "/icon/python.svg",
    )


def test_the_shortest_template_takes_the_defaults_for_people() -> None:
    found = recipe()
    assert (found.name, found.display_name, found.kind) == ("x", "x", Kind.HUMAN)
    assert (found.root, found.network) == (RootMode.CONTAINED, NetworkMode.OPEN)
    assert found.lifecycle == LifecycleDefaults(None, 1800, None, 7 * 86400, False)
    assert found.resources == Resources(2000, 4096, 10240, 1024)
    assert found.user == "dev"


def test_an_agents_template_takes_stricter_defaults() -> None:
    found = recipe("kind: agent\n")
    assert (found.root, found.network) == (RootMode.NONE, NetworkMode.NONE)
    assert found.lifecycle == LifecycleDefaults(7200, 600, 7200, 7 * 86400, True)
    assert found.ceilings.networks == (NetworkMode.NONE,)
    assert found.image == DebianImage("bookworm", (), "dev", sudo=False)


def test_defaults_stay_below_the_ceilings() -> None:
    found = recipe("kind: agent\nceilings: {cpu: 1, memory: 1Gi, disk: 1Gi, pids: 100, ttl: 1h}\n")
    assert found.resources == Resources(1000, 1024, 1024, 100)
    assert found.lifecycle.ttl_s == 3600


def test_null_says_never() -> None:
    found = recipe(
        "kind: agent\n"
        "lifecycle: {ttl: null, idle_stop: null, runtime_max: ~, delete_after_unused: null}\n"
    )
    assert found.lifecycle == LifecycleDefaults(None, None, None, None, True)


def test_modes_that_need_a_driver_not_there_yet_are_read() -> None:
    found = recipe("isolation: gvisor\nnetwork: {mode: allowlist}\n")
    assert (found.isolation, found.network) == (Isolation.GVISOR, NetworkMode.ALLOWLIST)
    assert recipe("isolation: microvm\n").isolation is Isolation.MICROVM


def test_a_template_that_names_no_networks_allows_its_own_and_narrower_ones() -> None:
    modes = recipe("network: {mode: allowlist}\n").ceilings.networks
    assert modes == (NetworkMode.NONE, NetworkMode.ALLOWLIST)


def test_a_template_may_allow_a_wider_network_than_its_own() -> None:
    found = recipe("kind: agent\nceilings: {networks: [open, none]}\n")
    assert found.ceilings.networks == (NetworkMode.NONE, NetworkMode.OPEN)


@pytest.mark.parametrize(
    ("reference", "image"),
    [
        ("python:3.13", OciImage("docker.io/library/python:3.13", "")),
        ("reg.example.com:5000/a/b", OciImage("reg.example.com:5000/a/b", "")),
        (f"r.io/a:1@sha256:{'0' * 64}", OciImage("r.io/a", f"sha256:{'0' * 64}")),
    ],
)
def test_an_oci_reference_is_qualified_and_left_to_be_pinned(
    reference: str, image: OciImage
) -> None:
    reading = read_text(f"image: {{oci: '{reference}'}}\n")
    assert reading.recipe is not None
    assert reading.recipe.image == image


def test_inline_commands_are_kept_as_they_are() -> None:
    found = recipe('scripts: [{name: a, run: "make setup && make", timeout: 1h}]\n')
    assert found.scripts == (Script("a", "make setup && make", False, 3600),)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: human\nkind: agent\n", "template.yaml:3: 'kind': stands twice; first on line 2"),
        ("kindd: agent\n", "template.yaml:2: kindd: there is no such field; did you mean 'kind'?"),
        (
            "kind: agents\n",
            "template.yaml:2: kind: 'agents' is not human or agent; did you mean 'agent'?",
        ),
        ("kind: null\n", "template.yaml:2: kind: nothing is not human or agent"),
        ("kind: [agent]\n", "template.yaml:2: kind: a list is not human or agent"),
        ("kind: true\n", "template.yaml:2: kind: true is not human or agent"),
        ("description: {}\n", "template.yaml:2: description: expected a text, got fields"),
        (
            "description: true\n",
            "template.yaml:2: description: expected a text, got true or false",
        ),
        ("'k i': 1\n", "template.yaml:2: 'k i': there is no such field"),
        (
            "presets: [" + "a, " * 51 + "]\n",
            "template.yaml:2: presets: has 51 items; at most 50 are allowed",
        ),
        (
            "env: {" + ", ".join(f"A{n}: a" for n in range(201)) + "}\n",
            "template.yaml:2: env: has 201 names; at most 200 are allowed",
        ),
        ("name: My Template\n", "template.yaml:2: name: 'My Template' is not a name"),
        (
            "name: " + "a" * 64 + "\n",
            "template.yaml:2: name: has 64 characters; 1 to 63 are allowed",
        ),
        (
            "description: 1\n",
            'template.yaml:2: description: expected a text, got a number; write "1"',
        ),
        ('display_name: "a\\eb"\n', "template.yaml:2: display_name: has the character U+001B"),
        ('description: "\\ud800"\n', "template.yaml:2: description: has the character U+D800"),
        (
            "icon: http://x/y.svg\n",
            "template.yaml:2: icon: 'http://x/y.svg' is not a path like /icon",
        ),
        ("user: root\n", "template.yaml:2: user: 'root' is a system user; name an ordinary one"),
        ("user: www-data\n", "template.yaml:2: user: 'www-data' is a system user"),
        ("user: _apt\n", "template.yaml:2: user: '_apt' is a system user"),
        ("user: A\n", "template.yaml:2: user: 'A' is not a user name"),
        ("root: full\n", "template.yaml:2: root: 'full' is not none or contained"),
        (
            "isolation: vm\n",
            "template.yaml:2: isolation: 'vm' is not container, gvisor or microvm",
        ),
        (
            "network: {mode: all}\n",
            "template.yaml:2: network.mode: 'all' is not none, allowlist or open",
        ),
        ("network: open\n", "template.yaml:2: network: expected fields, got a text"),
        (
            "network: {mode: open, allow: [a]}\n",
            "template.yaml:2: network.allow: there is no such field",
        ),
        (
            "resources: {cpu: 0}\n",
            "template.yaml:2: resources.cpu: 0 is not between 0.05 and 1024",
        ),
        (
            "resources: {cpu: two}\n",
            "template.yaml:2: resources.cpu: expected a number, got a text",
        ),
        ("resources: {memory: 4G}\n", "template.yaml:2: resources.memory: '4G' is not a size"),
        (
            "resources: {memory: 4}\n",
            "template.yaml:2: resources.memory: expected a size like 512Mi",
        ),
        (
            "resources: {memory: 8Mi}\n",
            "template.yaml:2: resources.memory: 8Mi is under the least, 32Mi",
        ),
        (
            "resources: {disk: 99999Ti}\n",
            "template.yaml:2: resources.disk: 104856551424 is over the most",
        ),
        ("resources: {pids: 1.5}\n", "template.yaml:2: resources.pids: 1.5 is not a whole number"),
        ("resources: {pids: 4}\n", "template.yaml:2: resources.pids: 4 is not between 16 and"),
        (
            "resources:\n  cpu: 4\nceilings: {cpu: 2}\n",
            "template.yaml:3: resources.cpu: 4 is over the ceiling 2",
        ),
        (
            "ceilings: {memory: 2Gi}\nresources: {memory: 4Gi}\n",
            "template.yaml:3: resources.memory: 4Gi is over the ceiling 2Gi",
        ),
        (
            "ceilings: {pids: 20}\nresources: {pids: 30}\n",
            "template.yaml:3: resources.pids: 30 is over the ceiling 20",
        ),
        ("ceilings: {ttl: 3 days}\n", "template.yaml:2: ceilings.ttl: '3 days' is not a duration"),
        ("ceilings: {ttl: 24}\n", "template.yaml:2: ceilings.ttl: expected a duration like 90s"),
        (
            "ceilings: {cpus: 4}\n",
            "template.yaml:2: ceilings.cpus: there is no such field; did you mean",
        ),
        (
            "ceilings: {memory: 1Mi}\n",
            "template.yaml:2: ceilings.memory: 1Mi is under the least, 32Mi",
        ),
        (
            "ceilings: {networks: [none]}\n",
            "template.yaml:2: ceilings.networks: leaves out open, the template's own mode",
        ),
        (
            "ceilings: {ttl: 1h}\nlifecycle: {ttl: 2h}\n",
            "template.yaml:3: lifecycle.ttl: 2h is over the ceiling 1h",
        ),
        (
            "lifecycle: {ttl: 0s}\n",
            "template.yaml:2: lifecycle.ttl: '0s' is not between 1s and 10 years",
        ),
        (
            "lifecycle: {ephemeral: yes}\n",
            "lifecycle.ephemeral: expected true or false, got a text",
        ),
        ("env: {1A: b}\n", "template.yaml:2: env: '1A' is not a variable's name"),
        (
            "env:\n  A: b\n  C: 1\n",
            'template.yaml:4: env.C: expected a text, got a number; write "1"',
        ),
        (
            "env: {ALCOVE_X: b}\n",
            "env.ALCOVE_X: names that begin with ALCOVE_ are set by the platform",
        ),
        ("env: []\n", "template.yaml:2: env: expected names and values, got a list"),
        ("scripts: {}\n", "template.yaml:2: scripts: expected a list, got fields"),
        ("scripts: [{name: a}]\n", "template.yaml:2: scripts[0]: run is missing"),
        ("scripts: [{run: a}]\n", "template.yaml:2: scripts[0]: name is missing"),
        ("scripts: [{name: a, run: b, when: stop}]\n", "scripts[0].when: 'stop' is not start"),
        ("scripts: [{name: a, run: b, timeout: 2d}]\n", "a.timeout: is over the most, 24h"),
        ("scripts: [{name: a, run: ' '}]\n", "template.yaml:2: a.run: is empty"),
        (
            "scripts:\n- {name: a, run: ./x}\n",
            "template.yaml:3: a.run: there is no file 'x' beside",
        ),
        ("scripts: [{name: a, run: ./x -f}]\n", "arguments are not passed on"),
        (
            "scripts: [{name: a, run: ./../x}]\n",
            "a.run: there is no file '../x' beside the template",
        ),
        (
            "scripts:\n- {name: a, run: b}\n- {name: a, run: c}\n",
            "template.yaml:4: a: is the name of two scripts",
        ),
        ("pool: {size: 3, max: 4}\n", "template.yaml:2: pool.max: says the same as size"),
        ("pool: {min: 3, max: 2}\n", "template.yaml:2: pool.min: min 3 is over max 2"),
        ("pool: {size: 1, zone: Nowhere}\n", "template.yaml:2: pool.zone: 'Nowhere' is not a"),
        ("pool: {size: -1}\n", "template.yaml:2: pool.size: -1 is not between 0 and 1000"),
        (
            "isolation: container\nisolation_min: gvisor\n",
            "template.yaml:2: isolation: container is weaker than isolation_min, gvisor",
        ),
        (
            "presets:\n- {name: a, parameters: {z: 1}}\n",
            "template.yaml:3: a: there is no parameter 'z'",
        ),
    ],
)
def test_a_fault_is_named_with_its_line_and_field(text: str, said: str) -> None:
    found = problems(text)
    assert any(said in problem for problem in found), found
    assert len(found) == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind: human\n", "template.yaml:1: image is missing"),
        ("image: {}\n", "template.yaml:1: image: needs exactly one of debian or oci"),
        (
            "image: {debian: bookworm, oci: a}\n",
            "template.yaml:1: image: needs exactly one of debian or oci; got debian and oci",
        ),
        (
            "image: {debian: buster}\n",
            "image.debian: 'buster' is not bullseye, bookworm or trixie",
        ),
        ("image: {oci: a, packages: [git]}\n", "image.packages: only goes with debian"),
        (
            "image: {debian: bookworm, packages: [Git]}\n",
            "image.packages[0]: 'Git' is not the name of",
        ),
        (
            "image: {debian: bookworm, packages: [--foo]}\n",
            "image.packages[0]: '--foo' is not the name",
        ),
        ("image: {dockerfile: ./Dockerfile}\n", "image.dockerfile: is not supported yet"),
        ("image: {oci: 'docker://a'}\n", "template.yaml:1: image.oci:"),
        ("image: {oci: '-a'}\n", "template.yaml:1: image.oci: '-a' is not the name of an image"),
        ("- a\n", "template.yaml:1: expected fields, got a list"),
        ("a", "template.yaml:1: expected fields, got a text"),
    ],
)
def test_a_template_without_one_good_image_is_refused(text: str, said: str) -> None:
    reading = read_text(text)
    assert reading.recipe is None
    assert any(said in str(problem) for problem in reading.problems), reading.problems


def test_all_faults_are_found_at_once_and_in_the_order_of_lines() -> None:
    reading = read_text(
        "image: {debian: buster}\nkind: robot\nresources: {cpu: no}\n"
        "parameters:\n- {name: a, type: text}\n- {name: b, type: choice}\nenv: {A: 1}\n"
    )
    assert [p.line for p in reading.problems] == [1, 2, 3, 5, 6, 7]


def test_a_warning_does_not_cost_the_recipe() -> None:
    reading = read_text(LEAST + "ceilings: {ttl: 1h}\nlifecycle: {ttl: null}\n")
    assert reading.recipe is not None
    assert [p.severity for p in reading.problems] == [Severity.WARNING]
    assert reading.errors == ()


def test_a_life_without_end_under_a_ceiling_is_warned_of() -> None:
    reading = read_text(LEAST + "ceilings: {ttl: 24h}\nlifecycle:\n  ttl: null\n")
    assert reading.recipe is not None
    said = "template.yaml:4: lifecycle.ttl: never is over the ceiling 24h; workspaces live for 24h"
    assert [str(p) for p in reading.problems] == [said]


def test_a_package_named_twice_is_installed_once() -> None:
    reading = read_text("image: {debian: bookworm, packages: [git, curl, git]}\n")
    assert reading.recipe is not None
    assert isinstance(reading.recipe.image, DebianImage)
    assert reading.recipe.image.packages == ("git", "curl")
    assert "git stands twice" in str(reading.problems[0])


def test_the_directory_must_be_a_name_when_the_template_has_none() -> None:
    reading = read({"template.yaml": LEAST.encode()}, "My Dir")
    assert reading.recipe is None
    assert "is missing, and the directory's name 'My Dir' is not a name" in str(
        reading.problems[0]
    )


def test_the_templates_own_name_counts_more_than_the_directorys() -> None:
    reading = read({"template.yaml": f"name: a\n{LEAST}".encode()}, "My Dir")
    assert reading.recipe is not None
    assert reading.recipe.name == "a"


def test_a_directory_without_a_template_says_so() -> None:
    assert [str(p) for p in read({}, "x").problems] == [
        "template.yaml: there is no template.yaml in the directory"
    ]
    hinted = read({"template.yml": b"a: 1"}, "x").problems
    assert "rename template.yml" in str(hinted[0])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "setup.sh is empty"),
        (b"\xff", "setup.sh is not UTF-8"),
        (b"echo \x00", "setup.sh has the character U+0000"),
        (b"#" * 70000, "setup.sh is 70000 bytes; the limit is 65536"),
        (b"#!/usr/bin/env python3\nprint()", "setup.sh is not a shell script"),
    ],
)
def test_a_script_file_must_be_a_shell_script_of_ordinary_size(content: bytes, said: str) -> None:
    text = LEAST + "scripts: [{name: a, run: ./setup.sh}]\n"
    reading = read({"template.yaml": text.encode(), "setup.sh": content}, "x")
    assert reading.recipe is None
    assert said in str(reading.problems[0])


_KEYS = st.sampled_from(
    [
        "name",
        "kind",
        "image",
        "debian",
        "oci",
        "packages",
        "user",
        "root",
        "resources",
        "ceilings",
        "cpu",
        "memory",
        "ttl",
        "parameters",
        "type",
        "default",
        "min",
        "max",
        "pattern",
        "options",
        "presets",
        "env",
        "scripts",
        "run",
        "timeout",
        "lifecycle",
        "network",
        "mode",
        "networks",
        "pool",
        "size",
        "required",
    ]
)
_SCALARS = st.sampled_from(
    [
        "bookworm",
        "number",
        "choice",
        "list",
        "string",
        "agent",
        "4Gi",
        "2h",
        "-1",
        "0",
        "1",
        "1e3",
        "99999999999999999",
        ".5",
        "true",
        "null",
        "''",
        "./x",
        "cpu",
        "ttl_hours",
        "repo",
        "network",
        "open",
        "(",
        "[a]",
        "{}",
    ]
) | st.text(max_size=8).map(repr)
_TREES = st.recursive(
    _SCALARS,
    lambda below: (
        st.lists(below, max_size=3).map(lambda items: f"[{', '.join(items)}]")
        | st.dictionaries(_KEYS, below, max_size=4).map(
            lambda members: "{" + ", ".join(f"{k}: {v}" for k, v in members.items()) + "}"
        )
    ),
    max_leaves=12,
)


@given(st.dictionaries(_KEYS, _TREES, max_size=6))
def test_no_template_makes_reading_raise(members: dict[str, str]) -> None:
    text = "".join(f"{key}: {value}\n" for key, value in members.items())
    reading = read({"template.yaml": (LEAST + text).encode("utf-8", "replace")}, "x")
    assert (reading.recipe is None) == bool(reading.errors)


@given(st.dictionaries(st.text(max_size=12), st.binary(max_size=60), max_size=3), st.text())
def test_no_files_make_reading_raise(files: dict[str, bytes], name: str) -> None:
    reading = read(files, name)
    assert (reading.recipe is None) == bool(reading.errors)


def test_files_beside_the_template_become_part_of_the_version() -> None:
    found = recipe("files: {~/.config/tool.toml: ./tool.toml}\n", tool_toml="level = 3\n")
    assert found.files == {"~/.config/tool.toml": "level = 3\n"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("files: {~/a: ./missing}\n", "there is no file 'missing' beside the template"),
        ("files: {~/../a: ./x.txt}\n", "a path such as ~/.config/tool.toml"),
        ("files: {a/b: ./x.txt}\n", "a path such as ~/.config/tool.toml"),
    ],
)
def test_a_file_that_cannot_be_written_is_refused(text: str, said: str) -> None:
    assert any(said in problem for problem in problems(text, x_txt="x"))


def test_a_pool_is_fixed_by_its_size_and_follows_the_demand_between_bounds() -> None:
    fixed = read_text(LEAST + "pool: {size: 4}\n").recipe
    between = read_text(LEAST + "pool: {min: 1, max: 9, refill_per_second: 5}\n").recipe
    window = "{days: mon-fri, from: '08:00', to: '18:00', min: 7}"
    timed = read_text(LEAST + f"pool: {{size: 4, schedule: [{window}]}}\n").recipe
    assert fixed is not None and between is not None and timed is not None  # noqa: PT018
    assert (fixed.pool.min, fixed.pool.max, fixed.pool.mode) == (4, 4, "fixed")
    assert (between.pool.min, between.pool.max, between.pool.mode) == (1, 9, "adaptive")
    assert between.pool.refill_per_s == 5
    assert (timed.pool.max, timed.pool.schedule[0].days) == (
        7, ("mon", "tue", "wed", "thu", "fri"),
    )  # fmt: skip
