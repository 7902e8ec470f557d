"""Reads a template directory: `template.yaml` and what it names, into a Recipe.

Pure and total: whatever the bytes, `read` answers; every problem has its line, and all are found
in one go. What is left out takes the defaults below, which differ for people and for agents.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from alcove.model.app import Level
from alcove.model.image import DebianImage, Image, OciImage
from alcove.model.template import Ceilings, LifecycleDefaults, Parameter, Preset, Recipe
from alcove.model.workspace import (
    Isolation,
    Kind,
    NetworkMode,
    OnExpiry,
    OnIdle,
    Resources,
    RootMode,
    strength,
)
from alcove.recipes import declarations, environment
from alcove.recipes.apps import read_apps
from alcove.recipes.document import Node, parse
from alcove.recipes.fields import NAME, TEMPLATE
from alcove.recipes.pooling import read_pool
from alcove.recipes.problem import Problem, Report, Severity, quoted
from alcove.recipes.scripts import read_files, read_scripts
from alcove.recipes.shape import BAD, Part
from alcove.recipes.sources import parse_reference
from alcove.recipes.wellknown import WellKnown, check_amount, shown

FILE: Final = "template.yaml"
DEFAULT_USER: Final = "dev"
DEFAULT_RESOURCES: Final = Resources(
    cpu_millis=2000, memory_mib=4 * 1024, disk_mib=10 * 1024, pids=1024
)
DEFAULT_LIFECYCLE: Final[Mapping[Kind, LifecycleDefaults]] = {
    Kind.HUMAN: LifecycleDefaults(
        ttl_s=None,
        idle_stop_s=30 * 60,
        runtime_max_s=None,
        unused_delete_s=7 * 86400,
        ephemeral=False,
    ),
    Kind.AGENT: LifecycleDefaults(
        ttl_s=2 * 3600,
        idle_stop_s=10 * 60,
        runtime_max_s=2 * 3600,
        unused_delete_s=7 * 86400,
        ephemeral=True,
    ),
}
DEFAULT_ROOT: Final = {Kind.HUMAN: RootMode.CONTAINED, Kind.AGENT: RootMode.NONE}
DEFAULT_ISOLATION: Final = {Kind.HUMAN: Isolation.CONTAINER, Kind.AGENT: Isolation.GVISOR}
DEFAULT_NETWORK: Final = {Kind.HUMAN: NetworkMode.OPEN, Kind.AGENT: NetworkMode.NONE}
WIDTH: Final = (NetworkMode.NONE, NetworkMode.ALLOWLIST, NetworkMode.OPEN)
"""Network modes from narrow to wide."""

_SYSTEM_USERS: Final = frozenset(
    {"root", "daemon", "bin", "sys", "sync", "games", "man", "lp", "mail", "news", "uucp"}
    | {"proxy", "www-data", "backup", "list", "irc", "gnats", "nobody", "messagebus"}
)


@dataclass(frozen=True, slots=True)
class Reading:
    """`recipe` is there exactly when no problem is an error."""

    recipe: Recipe | None
    problems: tuple[Problem, ...]

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)


def read(files: Mapping[str, bytes], default_name: str) -> Reading:
    """Read a template from the files of its directory. Never raises.

    An OCI image comes out with the tag in `reference` and the digest `""` unless the template
    says the digest; pinning needs the network, and is the pusher's business.
    """
    report = Report(FILE)
    recipe = None
    if FILE not in files:
        said = f"there is no {FILE} in the directory"
        report.error(0, "", said + ("; rename template.yml" if "template.yml" in files else ""))
    elif (root := parse(files[FILE], report)) is not None:
        raw, complete = TEMPLATE.read_part(root, "", report)
        found = _recipe(raw, files, default_name, report)
        recipe = found if complete else None
    problems = sorted(report.problems, key=lambda p: (p.line, p.field))
    return Reading(None if report.failed else recipe, tuple(problems))


def _recipe(
    raw: Part, files: Mapping[str, bytes], default_name: str, report: Report
) -> Recipe | None:
    """Everything is looked at, whatever fails, so that all problems are found."""
    kind = Kind(raw.get("kind", Kind.HUMAN))
    root = RootMode(raw.get("root", DEFAULT_ROOT[kind]))
    network = NetworkMode(raw.get("network", {}).get("mode", DEFAULT_NETWORK[kind]))
    isolation, least = _isolation(raw, kind, report)
    name = _name(raw, default_name, report)
    user = _user(raw, report)
    image = _image(raw, user, root, report)
    ceilings = _ceilings(raw, network, report)
    resources = _resources(raw, ceilings, report)
    lifecycle = _lifecycle(raw, kind, ceilings, report)
    declared = _parameters(raw, ceilings, report)
    presets = _presets(raw, declared, ceilings, report)
    scripts = read_scripts(raw.get("scripts", ()), files, report)
    texts = read_files(raw, files, report)
    _check_env(raw, report)
    apps = read_apps(raw.get("apps", ()), ceilings.share, report)
    pool = read_pool(raw, report)
    if image is None:
        return None
    return Recipe(
        name=name,
        display_name=raw.get("display_name") or name,
        description=raw.get("description", ""),
        icon=raw.get("icon", ""),
        kind=kind,
        image=image,
        user=user,
        root=root,
        isolation=isolation,
        isolation_given="isolation" in raw,
        isolation_min=least,
        resources=resources,
        ceilings=ceilings,
        parameters=declared,
        presets=presets,
        env=raw.get("env", {}),
        scripts=scripts,
        lifecycle=lifecycle,
        network=network,
        pool=pool,
        files=texts,
        apps=apps,
    )


def _name(raw: Part, default_name: str, report: Report) -> str:
    if "name" in raw:
        return str(raw["name"])
    # Nothing is said about a default that stands in for a name already found faulty.
    if not raw.names("name") and NAME.read(Node(0, default_name), "", Report("")) is BAD:
        said = f"is missing, and the directory's name {quoted(default_name)} is not {NAME.says}"
        report.error(raw.line(), "name", said)
    return default_name


def _isolation(raw: Part, kind: Kind, report: Report) -> tuple[Isolation, Isolation | None]:
    """What a workspace gets, and the least. Where the template leaves it open, agents get the
    strongest that needs no virtual machine; the installation decides whether it has it."""
    least = Isolation(raw["isolation_min"]) if "isolation_min" in raw else None
    if "isolation" not in raw:
        default = DEFAULT_ISOLATION[kind]
        stronger = least is not None and strength(least) > strength(default)
        return (least if least and stronger else default), least
    isolation = Isolation(raw["isolation"])
    if least is not None and strength(isolation) < strength(least):
        said = f"{isolation} is weaker than isolation_min, {least}"
        report.error(raw.line("isolation"), "isolation", said)
    return isolation, least


def _user(raw: Part, report: Report) -> str:
    user = str(raw.get("user", DEFAULT_USER))
    if user in _SYSTEM_USERS or user.startswith(("systemd-", "_")):
        said = f"{user!r} is a system user; name an ordinary one, such as {DEFAULT_USER}"
        report.error(raw.line("user"), "user", said)
    return user


def _image(raw: Part, user: str, root: RootMode, report: Report) -> Image | None:
    image = raw.get("image")
    if not isinstance(image, Part):
        return None
    if "debian" in image:
        packages = image.get("packages", ())
        for package in sorted({p for p in packages if packages.count(p) > 1}):
            report.warn(image.line("packages"), "image.packages", f"{package} stands twice")
        for kind, tool in (("npm", "npm"), ("pip", "python3-pip")):
            if image.get(kind) and tool not in packages:
                said = f"is installed with the Debian package {tool}; add it to packages"
                report.error(image.line(kind), f"image.{kind}", said)
        return DebianImage(
            suite=str(image["debian"]),
            packages=tuple(dict.fromkeys(packages)),
            user=user,
            sudo=root is RootMode.CONTAINED,
            npm=tuple(dict.fromkeys(image.get("npm", ()))),
            pip=tuple(dict.fromkeys(image.get("pip", ()))),
        )
    try:
        reference = parse_reference(str(image["oci"]))
    except ValueError as error:
        report.error(image.line("oci"), "image.oci", str(error))
        return None
    if reference.digest:
        return OciImage(reference=reference.name, digest=reference.digest)
    return OciImage(reference=reference.tagged, digest="")


def _ceilings(raw: Part, network: NetworkMode, report: Report) -> Ceilings:
    given = raw.get("ceilings", Part({}, raw.node.at("ceilings")))
    cpu = given.get("cpu")
    networks = tuple(NetworkMode(mode) for mode in given.get("networks", ()))
    if "networks" not in given:
        networks = WIDTH[: WIDTH.index(network) + 1]
    elif network not in networks:
        said = f"leaves out {network}, the template's own mode"
        report.error(given.line("networks"), "ceilings.networks", said)
    ceilings = Ceilings(
        cpu_millis=None if cpu is None else round(cpu * 1000),
        memory_mib=given.get("memory"),
        disk_mib=given.get("disk"),
        pids=given.get("pids"),
        ttl_s=given.get("ttl"),
        networks=tuple(mode for mode in WIDTH if mode in networks),
        share=Level(given.get("share", Level.PUBLIC)),
    )
    for name, value in _amounts(ceilings):
        if value is not None:
            _check_amount(name, value, given, "ceilings", report)
    return ceilings


def _resources(raw: Part, ceilings: Ceilings, report: Report) -> Resources:
    given = raw.get("resources", Part({}, raw.node.at("resources")))
    default = DEFAULT_RESOURCES
    resources = Resources(
        cpu_millis=round(given["cpu"] * 1000)
        if "cpu" in given
        else _capped(default.cpu_millis, ceilings.cpu_millis),
        memory_mib=given.get("memory", _capped(default.memory_mib, ceilings.memory_mib)),
        disk_mib=given.get("disk", _capped(default.disk_mib, ceilings.disk_mib)),
        pids=given.get("pids", _capped(default.pids, ceilings.pids)),
    )
    for (name, value), (_, most) in zip(_amounts(resources), _amounts(ceilings)[:3], strict=True):
        if value is not None and name in given:
            _check_amount(name, value, given, "resources", report)
            if most is not None and value > most:
                said = f"{shown(name, value)} is over the ceiling {shown(name, most)}"
                report.error(given.line(name), f"resources.{name}", said)
    if ceilings.pids is not None and resources.pids > ceilings.pids:
        said = f"{resources.pids} is over the ceiling {ceilings.pids}"
        report.error(given.line("pids"), "resources.pids", said)
    return resources


def _amounts(of: Resources | Ceilings) -> list[tuple[WellKnown, int | None]]:
    found: list[tuple[WellKnown, int | None]] = [
        (WellKnown.CPU, of.cpu_millis),
        (WellKnown.MEMORY, of.memory_mib),
        (WellKnown.DISK, of.disk_mib),
    ]
    return found + ([(WellKnown.TTL, of.ttl_s)] if isinstance(of, Ceilings) else [])


def _check_amount(name: WellKnown, value: int, given: Part, path: str, report: Report) -> None:
    try:
        check_amount(name, value)
    except ValueError as error:
        report.error(given.line(name), f"{path}.{name}", str(error))


def _capped(default: int, ceiling: int | None) -> int:
    return default if ceiling is None else min(default, ceiling)


def _lifecycle(raw: Part, kind: Kind, ceilings: Ceilings, report: Report) -> LifecycleDefaults:
    given = raw.get("lifecycle", Part({}, raw.node.at("lifecycle")))
    default = DEFAULT_LIFECYCLE[kind]
    most = ceilings.ttl_s
    lifecycle = LifecycleDefaults(
        ttl_s=given.get("ttl", default.ttl_s and _capped(default.ttl_s, most)),
        idle_stop_s=given.get("idle_stop", default.idle_stop_s),
        runtime_max_s=given.get("runtime_max", default.runtime_max_s),
        unused_delete_s=given.get("delete_after_unused", default.unused_delete_s),
        ephemeral=given.get("ephemeral", default.ephemeral),
        on_expiry=OnExpiry(given.get("on_expiry", default.on_expiry)),
        on_idle=OnIdle(given.get("on_idle", default.on_idle)),
        auto_resume=given.get("auto_resume", default.auto_resume),
    )
    if most is None or "ttl" not in given:
        return lifecycle
    longest, line = shown(WellKnown.TTL, most), given.line("ttl")
    if lifecycle.ttl_s is None:
        said = f"never is over the ceiling {longest}; workspaces live for {longest}"
        report.warn(line, "lifecycle.ttl", said)
    elif lifecycle.ttl_s > most:
        said = f"{shown(WellKnown.TTL, lifecycle.ttl_s)} is over the ceiling {longest}"
        report.error(line, "lifecycle.ttl", said)
    return lifecycle


def _parameters(raw: Part, ceilings: Ceilings, report: Report) -> tuple[Parameter, ...]:
    parts: tuple[Part, ...] = raw.get("parameters", ())
    declared = tuple(declarations.declare(part, report) for part in parts)
    declarations.check_names(declared, parts, report)
    for parameter, part in zip(declared, parts, strict=True):
        declarations.check_meaning(parameter, ceilings, part, report)
    return declared


def _presets(
    raw: Part, declared: tuple[Parameter, ...], ceilings: Ceilings, report: Report
) -> tuple[Preset, ...]:
    found: dict[str, Preset] = {}
    for part in raw.get("presets", ()):
        preset = declarations.preset(part, declared, ceilings, report)
        if preset.name in found:
            report.error(part.line("name"), preset.name, "is the name of two presets")
        found[preset.name] = preset
    return tuple(found.values())


def _check_env(raw: Part, report: Report) -> None:
    for name, value in raw.get("env", {}).items():
        try:
            environment.check(name, value)
        except ValueError as error:
            report.error(raw.line("env", name), f"env.{name}", str(error))


assert frozenset(WIDTH) == frozenset(NetworkMode)
