"""`apps:` in a template: what it becomes, and what is said against what cannot be."""

import pytest

from alcove.model.app import App, AppStart, HealthCheck, Level, OpenIn
from alcove.model.image import DebianImage
from alcove.recipes.native import read
from alcove.recipes.render import RenderRequest, render

HEAD = "name: x\nimage: {debian: bookworm}\napps:\n"
BOUNDED = "name: x\ndescription: y\nimage: {debian: bookworm}\nceilings: {share: "


def problems(apps: str) -> list[str]:
    return [str(p) for p in read({"template.yaml": (HEAD + apps).encode()}, "x").problems]


def test_an_app_becomes_part_of_what_a_workspace_is() -> None:
    text = HEAD + (
        "  - name: code\n    display_name: VS Code\n    icon: /icon/code.svg\n    port: 13337\n"
        "    command: code-server\n    start: first_use\n"
        "    health: {path: /healthz, interval: 30s, threshold: 5}\n    subdomain: false\n"
        "    share: team\n    open_in: window\n    order: 2\n    hidden: true\n    env: {A: b}\n"
        "  - {name: docs, url: 'https://example.com/', order: 1}\n"
    )
    recipe = read({"template.yaml": text.encode()}, "x").recipe
    assert recipe is not None
    assert render(recipe, RenderRequest(name="w")).spec.apps == (
        App(name="docs", display_name="docs", url="https://example.com/", order=1),
        App(
            name="code",
            display_name="VS Code",
            icon="/icon/code.svg",
            port=13337,
            command="code-server",
            start=AppStart.FIRST_USE,
            health=HealthCheck(path="/healthz", interval_s=30, threshold=5),
            subdomain=False,
            share=Level.TEAM,
            open_in=OpenIn.WINDOW,
            order=2,
            hidden=True,
            env={"A": "b"},
        ),
    )


def test_an_app_without_a_word_is_private_and_needs_a_host_of_its_own() -> None:
    recipe = read({"template.yaml": (HEAD + "  - {name: a, port: 80}\n").encode()}, "x").recipe
    assert recipe is not None
    [app] = recipe.apps
    assert (app.share, app.subdomain, app.command) == (Level.PRIVATE, True, None)


@pytest.mark.parametrize(
    ("apps", "said"),
    [
        ("  - {name: a--b, port: 80}\n", "template.yaml:4: apps[0].name: "),
        ("  - {name: '8000', port: 80}\n", "template.yaml:4: apps[0].name: "),
        ("  - {name: a}\n", "needs exactly one of port or url"),
        ("  - {name: a, port: 80, url: 'https://x'}\n", "needs exactly one of port or url"),
        ("  - {name: a, url: 'javascript:alert(1)'}\n", "is not a web address"),
        ("  - {name: a, port: 0}\n", "is not between 1 and 65535"),
        ("  - {name: a, port: 80}\n  - {name: a, port: 81}\n", "template.yaml:5: a: is the name"),
        ("  - {name: a, port: 80}\n  - {name: b, port: 80}\n", "is the port of a already"),
        ("  - {name: a, url: 'https://x', command: y}\n", "a.command: is for what listens inside"),
        ("  - {name: a, port: 80, start: first_use}\n", "first_use needs a command"),
        ("  - {name: a, port: 80, command: ' '}\n", "a.command: is empty"),
        ("  - {name: a, port: 80, env: {ALCOVE_X: y}}\n", "a.env.ALCOVE_X: "),
        ("  - {name: a, port: 80, health: {path: //example.com}}\n", "health.path: "),
        ("  - {name: a, port: 80, health: {interval: 2h}}\n", "is over the most, 1h"),
        ("  - {name: a, port: 80, share: everybody}\n", "is not private, team or public"),
    ],
)
def test_what_cannot_be_is_named_with_its_line(apps: str, said: str) -> None:
    assert any(said in problem for problem in problems(apps)), problems(apps)


def image(fields: str) -> tuple[DebianImage | None, list[str]]:
    text = f"name: x\nimage:\n  debian: trixie\n{fields}"
    reading = read({"template.yaml": text.encode()}, "x")
    found = reading.recipe.image if reading.recipe else None
    assert found is None or isinstance(found, DebianImage)
    return found, [str(p) for p in reading.problems]


def test_packages_of_npm_and_pip_are_part_of_the_image() -> None:
    made, _ = image("  packages: [npm, python3-pip]\n  npm: ['@a/b@1.2.3']\n  pip: [c==4.5]\n")
    bare, _ = image("  packages: [npm, python3-pip]\n")
    assert made is not None
    assert bare is not None
    assert (made.npm, made.pip) == (("@a/b@1.2.3",), ("c==4.5",))
    assert made.key != bare.key


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ("  packages: [npm]\n  npm: [left-pad]\n", "is not an npm package with its version"),
        ("  packages: [npm]\n  npm: ['x@latest']\n", "is not an npm package with its version"),
        ("  packages: [npm]\n  npm: ['x@1.0.0; reboot']\n", "is not an npm package"),
        ("  packages: [npm]\n  npm: ['git+ssh://x@1.0.0']\n", "is not an npm package"),
        (
            "  packages: [python3-pip]\n  pip: [numpy]\n",
            "is not a Python package with its version",
        ),
        ("  packages: [python3-pip]\n  pip: ['--pre==1']\n", "is not a Python package"),
        ("  npm: ['x@1.0.0']\n", "image.npm: is installed with the Debian package npm"),
        ("  pip: [x==1]\n", "image.pip: is installed with the Debian package python3-pip"),
    ],
)
def test_a_package_without_its_version_or_its_tool_is_refused(fields: str, said: str) -> None:
    assert any(said in problem for problem in image(fields)[1]), image(fields)[1]


def test_a_template_bounds_how_widely_ports_are_shared() -> None:
    recipe = read({"template.yaml": (BOUNDED + "team}\n").encode()}, "x").recipe
    assert recipe is not None
    assert render(recipe, RenderRequest(name="w")).spec.share_max is Level.TEAM


def test_an_app_is_not_shared_wider_than_the_templates_own_bound() -> None:
    text = BOUNDED + "team}\napps:\n  - {name: web, port: 80, share: public}\n"
    [problem] = read({"template.yaml": text.encode()}, "x").problems
    assert (problem.field, problem.message) == ("web.share", "public is over the ceiling team")


def test_without_a_bound_of_its_own_the_operators_holds() -> None:
    recipe = read({"template.yaml": HEAD.removesuffix("apps:\n").encode()}, "x").recipe
    assert recipe is not None
    assert recipe.ceilings.share is Level.PUBLIC
