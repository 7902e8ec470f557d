"""npm and Python packages in images: the plan and the scripts, and one small image for real."""

import subprocess
from collections.abc import Callable, Sequence

import pytest

from alcove.host.images import modules
from alcove.host.images.debian import plan
from alcove.model.errors import DriverError
from alcove.model.image import DebianImage

BARE = DebianImage("bookworm", ("npm", "python3-pip"), "dev", sudo=False)
WITH = DebianImage(
    "bookworm",
    BARE.packages,
    "dev",
    sudo=False,
    npm=("is-number@7.0.0",),
    pip=("iniconfig==2.0.0",),
)


def test_packages_are_a_layer_on_top_of_the_same_image_without_them() -> None:
    bare, more = plan(BARE), plan(WITH)
    assert more[: len(bare)] == bare
    assert [(layer.npm, layer.pip) for layer in more[len(bare) :]] == [(WITH.npm, WITH.pip)]


@pytest.mark.parametrize(
    "npm", ["x@1.0.0; reboot", "$(reboot)@1.0.0", "x", "../x@1.0.0", "-g@1.0.0"]
)
def test_a_name_that_is_no_npm_package_is_refused(npm: str) -> None:
    with pytest.raises(DriverError, match="not npm or Python packages"):
        plan(DebianImage("bookworm", (), "dev", sudo=False, npm=(npm,)))


@pytest.mark.parametrize(
    "pip", ["x==1; reboot", "--pre==1", "x", "x@file:///etc/shadow", "x==1 y"]
)
def test_a_name_that_is_no_python_package_is_refused(pip: str) -> None:
    with pytest.raises(DriverError, match="not npm or Python packages"):
        plan(DebianImage("bookworm", (), "dev", sudo=False, pip=(pip,)))


def test_no_code_of_a_package_runs_while_there_is_a_network() -> None:
    script = modules.fetch_script(["a@1.0.0"], ["b==1"])
    installs = [line for line in script.splitlines() if "npm install" in line]
    assert installs
    assert all("--ignore-scripts" in line or "$install" in line for line in installs), installs
    assert "npm rebuild" not in script
    assert "--only-binary=:all:" in script


@pytest.mark.parametrize("script", [modules.fetch_script, modules.build_script])
def test_the_scripts_are_for_any_shell(
    script: Callable[[Sequence[str], Sequence[str]], str],
) -> None:
    text = script(["a@1.0.0"], ["b==1"])
    subprocess.run(["dash", "-n"], input=text.encode(), check=True)


def test_the_operators_mirrors_are_used() -> None:
    told = modules.environment(registry="http://npm.lan", index="http://pip.lan", ca="/ca.pem")
    assert told["npm_config_registry"] == "http://npm.lan"
    assert told["PIP_INDEX_URL"] == "http://pip.lan"
    assert told["npm_config_cafile"] == told["PIP_CERT"] == "/ca.pem"


def test_a_package_that_is_not_there_is_not_asked_for_again() -> None:
    steps = modules.ModuleSteps("fetching", lambda _: None)
    steps.read("npm ERR! code E404")
    steps.read("npm ERR! 404 Not Found - GET https://registry/nonesuch")
    assert not steps.worth_retrying
    assert "404 Not Found" in steps.reason(1)
