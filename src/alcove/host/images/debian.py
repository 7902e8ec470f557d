"""Build an image from a Debian suite and a list of packages.

An image is a stack of layers that others share: the foundation (the suite's essential packages and
apt, by mmdebstrap), the tools that most images have, what is this image's own, and on top what npm
and pip install. Which layers follows from the image alone, so the same image is the same stack on
every host. Package scripts run in a jail without a network. The one rule: a layer's name is a
digest of everything that decides its content, but for the state of the mirror.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from alcove.host.images import modules, recipe, runner, sources
from alcove.host.images.jail import Jail, Mount, View
from alcove.host.images.runner import Progress
from alcove.host.images.shelf import Shelf, make_directory, write_file
from alcove.host.settings import HostSettings
from alcove.model.errors import DriverError
from alcove.model.image import DebianImage

RECIPE_VERSION: Final = 1
"""Goes up when the steps below change what is built."""
SUITE: Final = re.compile(r"[a-z][a-z0-9]{1,20}")
PACKAGE: Final = re.compile(r"[a-z0-9][a-z0-9+.-]{1,100}")
USER: Final = re.compile(r"[a-z_][a-z0-9_-]{0,31}")
PACKAGES_MAX: Final = 500
TOOLS: Final = frozenset(
    {
        *("bash-completion", "ca-certificates", "curl", "git", "jq", "less"),
        *("openssh-client", "procps", "ripgrep", "rsync"),
    }
)
"""What the starter templates have in common; a layer of its own for images with all of it."""
HOST_CA: Final = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer to have: `packages` on top of `below`. `user` belongs to the last one only."""

    name: str
    suite: str
    packages: tuple[str, ...]
    below: tuple[str, ...]
    user: str = ""
    sudo: bool = False
    npm: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()
    """Both only where there are no `packages`."""


def plan(image: DebianImage) -> list[Layer]:
    """The layers of `image`, bottom first. Pure. Raises DriverError for an image that no recipe
    would have let through: names end up in a shell script."""
    always = {"ca-certificates", "sudo"} if image.sudo else {"ca-certificates"}
    wanted = frozenset(image.packages) | always
    _check(image, wanted)
    layers = [Layer(_name("foundation", image.suite), image.suite, (), ())]
    if wanted >= TOOLS:
        packages = tuple(sorted(TOOLS))
        name = _name("tools", image.suite, packages)
        layers.append(Layer(name, image.suite, packages, (layers[0].name,)))
        wanted -= TOOLS
    packages = tuple(sorted(wanted - {"ca-certificates"}))
    below = tuple(layer.name for layer in layers)
    name = _name("own", below, packages, image.user, image.sudo)
    layers.append(Layer(name, image.suite, packages, below, image.user, image.sudo))
    npm, pip = tuple(sorted(set(image.npm))), tuple(sorted(set(image.pip)))
    if npm or pip:
        below = (*below, name)
        name = _name("modules", below, npm, pip)
        layers.append(Layer(name, image.suite, (), below, npm=npm, pip=pip))
    return layers


def title(image: DebianImage) -> str:
    """For lists of images."""
    number = len(set(image.packages)) + len(set(image.npm)) + len(set(image.pip))
    return f"debian {image.suite} with {number} packages"


class DebianBuilder:
    """Makes the layers that are missing. Not to be used from two threads at a time."""

    def __init__(self, settings: HostSettings, shelf: Shelf) -> None:
        self._settings = settings
        self._shelf = shelf

    def build(self, image: DebianImage, progress: Progress) -> list[str]:
        """Have all layers of `image` on the shelf; answers their names, bottom first. Raises
        DriverError with a reason for people."""
        layers = plan(image)
        if not Path(sources.KEYRING).is_file():
            raise DriverError(
                f"{sources.KEYRING} is missing, so nothing from Debian can be verified; "
                "run: apt-get install debian-archive-keyring",
                retry=False,
            )
        for layer in layers:
            if not self._shelf.has_layer(layer.name):
                with self._shelf.workplace() as place:
                    if layer.npm or layer.pip:
                        self._add_modules(layer, place, progress)
                    elif layer.below:
                        self._add(layer, place, progress)
                    else:
                        self._found(layer, place, progress)
        return [layer.name for layer in layers]

    def _found(self, layer: Layer, place: Path, progress: Progress) -> None:
        tree = make_directory(place / "tree")
        host = sources.read_host()
        extra = recipe.foundation_files(place / "extra", sources.apt_options(host))
        mounts = [
            Mount(str(tree), "/tmp/target", writable=True),
            Mount(str(extra), "/tmp/extra", writable=False),
        ]
        if ca := self._ca():
            copy = write_file(place / "ca.pem", Path(ca).read_text())
            mounts.append(Mount(str(copy), "/tmp/ca.pem", writable=False, mapped=False))
        command = recipe.mmdebstrap(
            layer.suite, sources.lines_for(layer.suite, self._settings, host), ca=bool(ca)
        )
        jail = Jail(
            id_base=self._settings.build_ids,
            view=View.HOST,
            command=tuple(command),
            env=self._environment(),
            mounts=tuple(mounts),
            network=True,
        )
        steps = recipe.FoundationSteps(layer.suite, progress.say)
        progress.say(f"building the foundation of Debian {layer.suite}")
        self._run(jail, progress, steps)
        self._shelf.put_layer(layer.name, tree)

    def _add(self, layer: Layer, place: Path, progress: Progress) -> None:
        conf = write_file(place / "apt.conf", recipe.apt_conf(ca=bool(self._ca())))
        lists = self._shelf.cache("apt", layer.suite, "lists")
        archives = self._shelf.cache("apt", layer.suite, "archives")
        shared = [Mount(str(conf), recipe.APT_CONF, writable=False, mapped=False)]
        if layer.packages:
            # Nothing but apt runs while there is a network; what it writes besides is dropped.
            resolv = write_file(place / "resolv.conf", Path("/etc/resolv.conf").read_text())
            reach = [
                Mount(str(resolv), "/etc/resolv.conf", writable=False, mapped=False),
                Mount(str(lists), "/var/lib/apt/lists", writable=True),
                Mount(str(archives), "/var/cache/apt/archives", writable=True),
            ]
            if ca := self._ca():
                copy = write_file(place / "ca.pem", Path(ca).read_text())
                reach.append(Mount(str(copy), recipe.APT_CA, writable=False, mapped=False))
            progress.say(f"fetching {len(layer.packages)} packages")
            script = recipe.fetch_script(layer.packages)
            jail = self._jail(layer, place / "fetch", script, (*shared, *reach), network=True)
            self._run(jail, progress, recipe.AptSteps("fetching packages", progress.say))
        shared += [
            Mount(str(lists), "/var/lib/apt/lists", writable=False),
            Mount(str(archives), "/var/cache/apt/archives", writable=False),
        ]
        progress.say(f"installing {len(layer.packages)} packages")
        script = recipe.install_script(layer.packages, user=layer.user, sudo=layer.sudo)
        jail = self._jail(layer, place / "install", script, tuple(shared), network=False)
        self._run(jail, progress, recipe.AptSteps("installing packages", progress.say))
        self._shelf.put_layer(layer.name, place / "install" / "upper")
        recipe.prune(archives)

    def _add_modules(self, layer: Layer, place: Path, progress: Progress) -> None:
        """Both steps write to the same tree: first npm and pip alone, with a network, and then
        the packages' own scripts, without one."""
        mounts = [
            Mount(str(make_directory(place / name)), target, writable=True)
            for name, target in (("wheels", modules.WHEELS), ("npm", modules.CACHE))
        ]
        env = modules.environment(
            registry=self._settings.npm_registry,
            index=self._settings.pip_index_url,
            ca=recipe.APT_CA if self._ca() else "",
        )
        resolv = write_file(place / "resolv.conf", Path("/etc/resolv.conf").read_text())
        reach = [Mount(str(resolv), "/etc/resolv.conf", writable=False, mapped=False)]
        if ca := self._ca():
            copy = write_file(place / "ca.pem", Path(ca).read_text())
            reach.append(Mount(str(copy), recipe.APT_CA, writable=False, mapped=False))
        number = len(layer.npm) + len(layer.pip)
        tree = place / "install"
        steps = modules.ModuleSteps(f"fetching {number} npm and Python packages", progress.say)
        script = modules.fetch_script(layer.npm, layer.pip)
        jail = self._jail(layer, tree, script, (*mounts, *reach), network=True)
        self._run(replace(jail, env={**jail.env, **env}), progress, steps)
        steps = modules.ModuleSteps(f"building {number} npm and Python packages", progress.say)
        script = f"{modules.build_script(layer.npm, layer.pip)}{recipe.finish()}"
        jail = self._jail(layer, tree, script, tuple(mounts), network=False)
        self._run(replace(jail, env={**jail.env, **env}), progress, steps)
        self._shelf.put_layer(layer.name, tree / "upper")

    def _jail(
        self, layer: Layer, delta: Path, script: str, mounts: tuple[Mount, ...], *, network: bool
    ) -> Jail:
        for directory in (delta, delta / "upper", delta / "work"):
            make_directory(directory)
        return Jail(
            id_base=self._settings.build_ids,
            view=View.OVERLAY,
            command=("/bin/sh", "-c", script),
            env=self._environment() | {"APT_CONFIG": recipe.APT_CONF},
            lower=tuple(str(self._shelf.layer(name)) for name in layer.below),
            upper=str(delta),
            mounts=mounts,
            network=network,
        )

    def _run(self, jail: Jail, progress: Progress, steps: recipe.Steps) -> None:
        code = runner.run(jail, progress, steps.read)
        if code:
            raise DriverError(steps.reason(code), retry=steps.worth_retrying)

    def _environment(self) -> dict[str, str]:
        told = self._settings
        proxies = {
            "http_proxy": told.http_proxy,
            "https_proxy": told.https_proxy,
            "no_proxy": told.no_proxy,
        }
        return recipe.ENVIRONMENT | {name: value for name, value in proxies.items() if value}

    def _ca(self) -> str:
        """What the host trusts is trusted in downloads; apt verifies signatures besides."""
        told = self._settings.ca_bundle
        return told or (str(HOST_CA) if HOST_CA.is_file() else "")


def _check(image: DebianImage, packages: frozenset[str]) -> None:
    bad = [p for p in packages if not PACKAGE.fullmatch(p)]
    if not SUITE.fullmatch(image.suite) or not USER.fullmatch(image.user) or bad:
        raise DriverError(
            f"not an image: suite {image.suite!r}, user {image.user!r}, packages {bad!r}",
            retry=False,
        )
    bad = [p for p in image.npm if not modules.NPM.fullmatch(p)]
    bad += [p for p in image.pip if not modules.PIP.fullmatch(p)]
    if bad or len(image.npm) > modules.NPM_MAX or len(image.pip) > modules.PIP_MAX:
        raise DriverError(f"not npm or Python packages of an image: {bad!r}", retry=False)
    if len(packages) > PACKAGES_MAX:
        raise DriverError(f"{len(packages)} packages; at most {PACKAGES_MAX}", retry=False)


def _name(*parts: str | bool | Sequence[str]) -> str:
    text = json.dumps([RECIPE_VERSION, *parts])
    return "deb-" + hashlib.sha256(text.encode()).hexdigest()[:32]
