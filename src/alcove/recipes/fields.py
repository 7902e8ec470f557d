"""What a `template.yaml` may say: the declaration that the reader and the JSON Schema share.

Names and bounds only; what they mean together is checked in `native` and `declarations`.
"""

from enum import StrEnum
from typing import Final

from alcove.model.app import APPS_MAX, AppStart, Level, OpenIn
from alcove.model.pool import REFILL_MAX, SIZE_MAX, WINDOWS_MAX, PoolMode
from alcove.model.template import ParameterType
from alcove.model.workspace import (
    Isolation,
    Kind,
    NetworkMode,
    OnExpiry,
    OnIdle,
    RootMode,
)
from alcove.recipes.shape import (
    AnyValue,
    Choice,
    Duration,
    Field,
    Flag,
    ListOf,
    MapOf,
    Number,
    OrNever,
    Shape,
    Size,
    Table,
    Text,
)

SUITES: Final = ("bullseye", "bookworm", "trixie")
"""The Debian releases that have security support; `stable` would not be the same next year."""
TEXT_MAX: Final = 32 * 1024
"""Bytes in a parameter's value or a variable: Linux takes 128 KiB in one (MAX_ARG_STRLEN)."""
SCRIPT_MAX: Final = 64 * 1024
NUMBER_MAX: Final = 10**15
"""Below it, whole numbers are exact in JSON readers that have doubles only."""
CPU_MAX: Final = 1024
PIDS_MAX: Final = 1_000_000
SCRIPT_TIMEOUT_MAX_S: Final = 24 * 3600

NAME: Final = Text(
    min=1,
    max=63,
    pattern=r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?",
    says="a name: small letters, digits and hyphens between them",
)
PARAMETER_NAME: Final = Text(
    min=1,
    max=64,
    pattern=r"[A-Za-z][A-Za-z0-9_-]*",
    says="a parameter's name: a letter, then letters, digits, _ and -",
)
ENV_NAME: Final = Text(
    min=1,
    max=128,
    pattern=r"[A-Za-z_][A-Za-z0-9_]*",
    says="a variable's name: letters, digits and _, not a digit first",
)
PACKAGE: Final = Text(
    min=2,
    max=100,
    pattern=r"[a-z0-9][a-z0-9+.-]+",
    says="the name of a Debian package",
)
NPM_PACKAGE: Final = Text(
    min=3,
    max=214,
    pattern=r"(?:@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*"
    r"@[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?",
    says="an npm package with its version, like name@1.2.3",
)
PIP_PACKAGE: Final = Text(
    min=4,
    max=200,
    pattern=r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[a-z0-9,._-]+\])?==[0-9][0-9A-Za-z.!+_]*",
    says="a Python package with its version, like name==1.2.3",
)
USER: Final = Text(
    min=1,
    max=32,
    pattern=r"[a-z_][a-z0-9_-]*",
    says="a user name: small letters, digits, _ and -",
)
FILE_PATH: Final = Text(
    min=2,
    max=512,
    pattern=r"~?(/[A-Za-z0-9_@+,.-]*[A-Za-z0-9_@+,-][A-Za-z0-9_@+,.-]*)+",
    says="a path such as ~/.config/tool.toml",
)

_CPU: Final = Number(0.05, CPU_MAX)
_PIDS: Final = Number(16, PIDS_MAX, whole=True)
_WORDS: Final = Text(max=200)
_MARKDOWN: Final = Text(max=16 * 1024, lines=True)
_ICON: Final = Text(
    max=200, pattern=r"/icon/[a-z0-9][a-z0-9._-]*", says="a path like /icon/python.svg"
)
_VALUE: Final = AnyValue(max=TEXT_MAX)


def _enum(kind: type[StrEnum]) -> Choice:
    return Choice(tuple(member.value for member in kind))


def _table(**fields: tuple[Shape, str]) -> Table:
    return Table({name: Field(shape, doc) for name, (shape, doc) in fields.items()})


IMAGE: Final = Table(
    {
        "debian": Field(Choice(SUITES), "Build from this Debian release, on the server's host."),
        "packages": Field(ListOf(PACKAGE, 500), "Debian packages to install."),
        "npm": Field(
            ListOf(NPM_PACKAGE, 50), "npm packages to install, name@version; needs package npm."
        ),
        "pip": Field(
            ListOf(PIP_PACKAGE, 100),
            "Python packages to install as wheels, name==version; needs package python3-pip.",
        ),
        "oci": Field(
            Text(min=1, max=400),
            "Pull this image: [registry/]name[:tag][@sha256:…]. Pinned to its digest at push.",
        ),
    },
    exactly_one=("debian", "oci"),
    needs={"packages": "debian", "npm": "debian", "pip": "debian"},
    later=("devcontainer", "dockerfile", "kubernetes", "terraform", "nix"),
)

RESOURCES: Final = _table(
    cpu=(_CPU, "CPU cores; may be a fraction."),
    memory=(Size(), "Memory, swap included."),
    disk=(Size(), "Home and everything else written."),
    pids=(_PIDS, "Processes and threads at once."),
)

CEILINGS: Final = _table(
    cpu=(_CPU, "The most cores anyone gets."),
    memory=(Size(), "The most memory anyone gets."),
    disk=(Size(), "The most disk anyone gets."),
    pids=(_PIDS, "The most processes anyone gets."),
    ttl=(Duration(), "The longest life anyone gets."),
    networks=(
        ListOf(_enum(NetworkMode), 3),
        "The network modes one may ask for; default: the template's own and narrower ones.",
    ),
    share=(_enum(Level), "The widest level at which ports may be shared; default public."),
)

PARAMETER: Final = Table(
    {
        "name": Field(PARAMETER_NAME, "How requests and ALCOVE_PARAMETER_… name it.", True),
        "type": Field(Choice(tuple(t.value for t in ParameterType)), "Of its values.", True),
        "display_name": Field(_WORDS, "Shown to people; default: the name."),
        "description": Field(_MARKDOWN, "What it decides; Markdown."),
        "default": Field(_VALUE, "Taken when nothing is given."),
        "required": Field(Flag(), "Default: whether there is no default."),
        "mutable": Field(Flag(), "Whether it may change after creation; default true."),
        "min": Field(
            Number(-NUMBER_MAX, NUMBER_MAX), "Least number, characters (string) or items (list)."
        ),
        "max": Field(
            Number(-NUMBER_MAX, NUMBER_MAX), "Most: number, characters (string) or items (list)."
        ),
        "pattern": Field(
            Text(min=1, max=500), "RE2 expression that a string, or each item, matches as a whole."
        ),
        "options": Field(
            ListOf(Text(min=1, max=200), 100), "What a choice, or each item of a list, may be."
        ),
    }
)

PRESET: Final = Table(
    {
        "name": Field(Text(min=1, max=64), "Shown to people.", True),
        "description": Field(_MARKDOWN, "Whom it suits; Markdown."),
        "parameters": Field(MapOf(PARAMETER_NAME, _VALUE, 100), "Values that it fills in.", True),
    }
)

SCRIPT: Final = Table(
    {
        "name": Field(NAME, "Shown in the logs.", True),
        "when": Field(Choice(("start",)), "At each start of the workspace."),
        "run": Field(
            Text(min=1, max=SCRIPT_MAX, lines=True),
            "Shell commands, or ./file of a shell script beside the template.",
            True,
        ),
        "blocks_login": Field(Flag(), "Whether people wait for it; default false."),
        "timeout": Field(Duration(), "Killed after it; default 10m."),
    }
)

APP_NAME: Final = Text(
    min=1,
    max=32,
    pattern=r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*",
    says="an app's name: a small letter, then small letters, digits and single hyphens",
)
APP: Final = Table(
    {
        "name": Field(APP_NAME, "Part of its address: code--api--ada.<apps_domain>.", True),
        "display_name": Field(_WORDS, "Shown to people; default: the name."),
        "icon": Field(_ICON, "Path of an icon that the server has."),
        "port": Field(Number(1, 65535, whole=True), "Where it listens inside."),
        "url": Field(
            Text(max=2000, pattern=r"https?://[^\s\"'<>\\^`{}|]+", says="a web address"),
            "Where a link leads to, in place of a port.",
        ),
        "command": Field(
            Text(min=1, max=SCRIPT_MAX, lines=True),
            "Shell commands that the agent keeps running, as the user, after the scripts.",
        ),
        "start": Field(_enum(AppStart), "When the command starts; default boot."),
        "health": Field(
            _table(
                path=(
                    Text(
                        min=1,
                        max=500,
                        pattern=r"/(?:[!-.0-~][!-~]*)?",
                        says="a path like /healthz",
                    ),
                    "Asked with GET; below 500 is healthy. Default: the port takes connections.",
                ),
                interval=(Duration(), "Between two checks; default 10s."),
                threshold=(
                    Number(1, 100, whole=True),
                    "Failures in a row that make it unhealthy; default 3.",
                ),
            ),
            "How it is found out whether it answers.",
        ),
        "subdomain": Field(
            Flag(), "Whether it needs a host name of its own; default true. false: a path will do."
        ),
        "share": Field(_enum(Level), "Who may open it until its owner says; default private."),
        "open_in": Field(_enum(OpenIn), "Where it opens; default tab."),
        "order": Field(Number(-1000, 1000, whole=True), "Smaller ones come first; default 0."),
        "hidden": Field(Flag(), "Whether pages leave it out; default false."),
        "env": Field(
            MapOf(ENV_NAME, Text(max=TEXT_MAX, lines=True), 50), "Variables for its command."
        ),
    },
    exactly_one=("port", "url"),
)

LIFECYCLE: Final = _table(
    ttl=(OrNever(Duration()), "From creation to deletion; null is never."),
    idle_stop=(OrNever(Duration()), "Stopped after so long without activity; null is never."),
    runtime_max=(OrNever(Duration()), "From each start to the stop; null is no limit."),
    delete_after_unused=(OrNever(Duration()), "Deleted when stopped so long; null is never."),
    ephemeral=(Flag(), "Whether nothing is kept when it stops."),
    on_expiry=(_enum(OnExpiry), "What happens when the ttl is over; default delete."),
    on_idle=(_enum(OnIdle), "What happens after idle_stop; default stop."),
    auto_resume=(Flag(), "Whether use wakes it from a pause; default: if it pauses by itself."),
)

NETWORK: Final = _table(
    mode=(_enum(NetworkMode), "Default open; for agents none."),
)

_MEMBERS: Final = Number(0, SIZE_MAX, whole=True)
_TIME: Final = Text(
    min=5, max=5, pattern=r"(?:[01][0-9]|2[0-3]):[0-5][0-9]", says="a time like 08:00"
)
WINDOW: Final = Table(
    {
        "days": Field(
            Text(
                min=3,
                max=40,
                pattern=r"daily|(?:mon|tue|wed|thu|fri|sat|sun)"
                r"(?:[-,](?:mon|tue|wed|thu|fri|sat|sun))*",
                says="days like mon-fri, sat,sun or daily",
            ),
            "On which it begins; default daily.",
        ),
        "from": Field(_TIME, "When it begins.", True),
        "to": Field(_TIME, "When it ends; not later than from is on the next day.", True),
        "min": Field(_MEMBERS, "The least size meanwhile.", True),
    }
)
POOL: Final = _table(
    size=(_MEMBERS, "Workspaces started ahead, always so many; in place of min and max."),
    min=(_MEMBERS, "The least; default 0."),
    max=(_MEMBERS, "The most. Between the two it follows the demand."),
    mode=(_enum(PoolMode), "fixed keeps the least; default adaptive where max is over min."),
    schedule=(ListOf(WINDOW, WINDOWS_MAX), "Times of the week with another least size."),
    zone=(Text(min=1, max=64), "Time zone of the schedule; default UTC."),
    refill_per_second=(Number(0.1, REFILL_MAX), "Begun in a second, at most; default 20."),
)

TEMPLATE: Final = Table(
    {
        "name": Field(NAME, "Default: the directory's name."),
        "display_name": Field(_WORDS, "Default: the name."),
        "description": Field(_MARKDOWN, "Markdown; the first line is the summary."),
        "icon": Field(_ICON, "Path of an icon that the server has."),
        "kind": Field(_enum(Kind), "Whom it serves; agents' have other defaults."),
        "image": Field(IMAGE, "Where the root file system comes from; exactly one source.", True),
        "user": Field(USER, "The ordinary user inside; default dev."),
        "root": Field(_enum(RootMode), "What root means inside."),
        "isolation": Field(_enum(Isolation), "What stands between it and the host's kernel."),
        "isolation_min": Field(
            _enum(Isolation), "The least that one may ask for; default: isolation."
        ),
        "resources": Field(RESOURCES, "What a workspace gets unless asked otherwise."),
        "ceilings": Field(CEILINGS, "Nobody gets more, whatever they ask."),
        "parameters": Field(ListOf(PARAMETER, 100), "The questions that it asks."),
        "presets": Field(ListOf(PRESET, 50), "Answers that go together."),
        "env": Field(MapOf(ENV_NAME, Text(max=TEXT_MAX, lines=True), 200), "Variables."),
        "scripts": Field(ListOf(SCRIPT, 20), "Start-up steps, in order, run as the user."),
        "apps": Field(ListOf(APP, APPS_MAX), "What people open in a browser."),
        "files": Field(
            MapOf(FILE_PATH, Text(min=1, max=SCRIPT_MAX, lines=True), 64),
            "Path inside to ./file beside the template, written before the first step.",
        ),
        "lifecycle": Field(LIFECYCLE, "When a workspace ends by itself."),
        "network": Field(NETWORK, "What a workspace reaches."),
        "pool": Field(POOL, "Workspaces kept started, to be claimed."),
    }
)
