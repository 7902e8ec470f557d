"""A template's start-up steps, with the files that they name put into them."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from alcove.model.workspace import Script
from alcove.recipes.fields import SCRIPT_MAX, SCRIPT_TIMEOUT_MAX_S
from alcove.recipes.problem import Report, quoted
from alcove.recipes.shape import Part, unprintable
from alcove.recipes.wellknown import WellKnown, shown

DEFAULT_TIMEOUT_S: Final = 600


def read_scripts(
    parts: Sequence[Part], files: Mapping[str, bytes], report: Report
) -> tuple[Script, ...]:
    found: dict[str, Script] = {}
    for part in parts:
        name, timeout = str(part["name"]), part.get("timeout", DEFAULT_TIMEOUT_S)
        if name in found:
            report.error(part.line("name"), name, "is the name of two scripts")
        if timeout > SCRIPT_TIMEOUT_MAX_S:
            said = f"is over the most, {shown(WellKnown.TTL, SCRIPT_TIMEOUT_MAX_S)}"
            report.error(part.line("timeout"), f"{name}.timeout", said)
        try:
            run = _embedded(str(part["run"]), files)
        except ValueError as error:
            report.error(part.line("run"), f"{name}.run", str(error))
            continue
        found[name] = Script(
            name=name, run=run, blocks_login=part.get("blocks_login", False), timeout_s=timeout
        )
    return tuple(found.values())


def read_files(raw: Part, files: Mapping[str, bytes], report: Report) -> Mapping[str, str]:
    """The texts to be written into a workspace, by the path inside."""
    found: dict[str, str] = {}
    for target, source in raw.get("files", {}).items():
        try:
            found[target] = _text(str(source).strip().removeprefix("./"), files)
        except ValueError as error:
            report.error(raw.line("files"), f"files.{target}", str(error))
    return found


def _embedded(run: str, files: Mapping[str, bytes]) -> str:
    """The commands themselves: a version stands alone, whatever becomes of its directory."""
    if not run.strip():
        raise ValueError("is empty")
    if not run.startswith("./"):
        return run
    path = run.strip().removeprefix("./")
    if path not in files and re.search(r"\s", path):
        said = f"there is no file {quoted(path)} beside the template; arguments are not passed on"
        raise ValueError(said)
    text = _text(path, files)
    first = text.partition("\n")[0]
    if first.startswith("#!") and re.search(r"\b(sh|bash|dash)\b", first) is None:
        raise ValueError(
            f"{path} is not a shell script ({quoted(first)}); call the program in one"
        )
    return text


def _text(path: str, files: Mapping[str, bytes]) -> str:
    if path not in files:
        raise ValueError(f"there is no file {quoted(path)} beside the template")
    data = files[path]
    if len(data) > SCRIPT_MAX:
        raise ValueError(f"{path} is {len(data)} bytes; the limit is {SCRIPT_MAX}")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8") from None
    if found := unprintable(text, lines=True):
        raise ValueError(f"{path} has the character {found}")
    if not text.strip():
        raise ValueError(f"{path} is empty")
    return text
