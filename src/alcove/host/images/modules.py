"""npm and Python packages of an image as text: what fetches them, and what builds them.

The one rule: while there is a network no code of a package runs. npm fetches with its scripts
ignored and pip takes wheels only; what has to be compiled is compiled afterwards, without a
network. Pure.
"""

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Final

NPM: Final = re.compile(
    r"(?:@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*"
    r"@[0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z.-]+)?"
)
PIP: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[a-z0-9,._-]+\])?==[0-9][0-9A-Za-z.!+_]*")
NPM_MAX: Final = 50
PIP_MAX: Final = 100
WHEELS: Final = "/run/alcove/wheels"
"""Where what pip fetched is while it is installed; images do not keep it."""
CACHE: Final = "/run/alcove/npm"
"""The same of npm: some packages' scripts install what is in there once more."""
ROOT: Final = "/usr/local/lib/node_modules"
_LOCKED: Final = f"""\
locked() {{
  find {ROOT} -mindepth 2 -name npm-shrinkwrap.json -o -mindepth 2 -name package-lock.json |
    grep -v /node_modules/.*/node_modules/ | while read -r lock; do
      directory=$(dirname "$lock")
      test "$(dirname "$directory")" = {ROOT} || echo "$directory"
    done | sort
}}"""
"""Packages that bring further ones by a lock file of their own, fetched by their scripts."""


def environment(*, registry: str, index: str, ca: str) -> Mapping[str, str]:
    """The operator's mirrors, and no talk with anybody else. `ca`: a file inside, or empty."""
    told = {
        "npm_config_registry": registry,
        "npm_config_cafile": ca,
        "PIP_INDEX_URL": index,
        "PIP_CERT": ca,
    }
    return {name: value for name, value in told.items() if value} | {
        "npm_config_cache": CACHE,
        "npm_config_audit": "false",
        "npm_config_fund": "false",
        "npm_config_update_notifier": "false",
        "npm_config_loglevel": "warn",
        "npm_config_progress": "false",
        "npm_config_prefix": "/usr/local",
        # Headers of the Debian package libnode-dev: those of the Node that is there.
        "npm_config_nodedir": "/usr",
        "npm_config_build_from_source": "true",
        "npm_config_unsafe_perm": "true",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_ROOT_USER_ACTION": "ignore",
        "PIP_BREAK_SYSTEM_PACKAGES": "1",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_PROGRESS_BAR": "off",
        "DO_NOT_TRACK": "1",
    }


def fetch_script(npm: Sequence[str], pip: Sequence[str]) -> str:
    """Fetch into the tree (npm) and into `WHEELS` (pip); nothing else runs meanwhile."""
    steps = ["set -e", "touch /run/alcove/started"]
    if npm:
        install = "npm install --ignore-scripts --omit=dev"
        steps += [
            f"npm install --global --ignore-scripts -- {shlex.join(npm)}",
            _LOCKED,
            f'locked | while read -r where; do (cd "$where" && {install}); done',
        ]
    if pip:
        steps.append(f"pip download --only-binary=:all: --dest={WHEELS} -- {shlex.join(pip)}")
    return "\n".join([*steps, ""])


def build_script(npm: Sequence[str], pip: Sequence[str]) -> str:
    """Compile and install what was fetched, without a network. The packages' own scripts run
    here; where one wants to download a program that Debian has, it finds Debian's."""
    steps = ["set -e", "touch /run/alcove/started", "export npm_config_offline=true"]
    if npm:
        steps += [
            _LOCKED,
            # Where `npx node-gyp` looks.
            "ln -s /usr/bin/node-gyp /usr/local/bin/node-gyp",
            f"find {ROOT} -type d -path '*/@vscode/ripgrep' | while read -r module; do",
            '  if test -x /usr/bin/rg && ! test -e "$module/bin"; then',
            '    mkdir "$module/bin" && ln -s /usr/bin/rg "$module/bin/rg"',
            "  fi",
            "done",
            "locked | while read -r where; do",
            '  (cd "$where" && npm rebuild --foreground-scripts < /dev/null) || exit 1',
            "done",
            # Not `--global`: scripts that install something would do that globally too.
            f"(cd {ROOT}/.. && npm rebuild --foreground-scripts < /dev/null)",
            "rm /usr/local/bin/node-gyp",
            f"find {ROOT} -type d -name obj.target -prune -exec rm -rf {{}} +",
        ]
    if pip:
        steps.append(f"pip install --no-index --find-links={WHEELS} -- {shlex.join(pip)}")
    return "\n".join([*steps, ""])


class ModuleSteps:
    """Reads npm and pip."""

    def __init__(self, doing: str, say: Callable[[str], None]) -> None:
        self.worth_retrying = True
        self._doing = doing
        self._errors: list[str] = []
        say(doing)

    def read(self, line: str) -> bool:
        if found := re.match(r"(?:npm (?:ERR!|error)|gyp ERR!|ERROR:) (.+)", line):
            said = found[1]
            if "code E404" in said or "code ETARGET" in said or "No matching distribution" in said:
                self.worth_retrying = False
            if len(self._errors) < 20 and not re.match(r"(code|stack|errno|A complete log)", said):
                self._errors.append(said[:300])
        return False

    def reason(self, code: int) -> str:
        why = "; ".join(self._errors[:3]) or f"exit code {code}"
        return f"{self._doing} failed: {why}"
