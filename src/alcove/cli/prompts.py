"""Asking for what `alcove create` was not told: which template, and what its parameters are.

Only at a terminal. What is typed is checked against what the template says before it is sent;
an empty line takes the default.
"""

import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from alcove.cli import screen
from alcove.cli.parameters import typed
from alcove.sdk.errors import Invalid, NotFound

if TYPE_CHECKING:
    from alcove.sdk import Alcove
    from alcove.wire.templates import Template, TemplateParameter, TemplatePreset

Ask = Callable[[str], str]
SUMMARY_MAX: Final = 70
PATTERN_MAX: Final = 1000
_WORDS: Final = {"bool": "yes or no", "number": "a number", "list": "values with commas between"}


@dataclass(frozen=True, slots=True)
class Answers:
    """What was chosen; `parameters` as `-p` takes them, without those left at their default."""

    template: str
    parameters: Mapping[str, str]


def at_a_terminal() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def complete(
    api: "Alcove",
    template: str | None,
    given: Mapping[str, str],
    *,
    told: Collection[str] = (),
    ask: Ask | None = None,
) -> Answers:
    """Ask for the template, if there is none, and then for all that it wants to know; with a
    template only for what it cannot do without. `told`: parameters that came another way.

    Raises NotFound where there are no templates.
    """
    asked = ask or _ask
    chosen = _template(api, asked) if template is None else api.templates.get(template)
    values = dict(given)
    if template is None:
        values = {**_preset(chosen.presets, asked), **values}
    for parameter in chosen.parameters:
        needed = parameter.required and parameter.default is None
        known = parameter.name in values or parameter.name in told
        if not known and (template is None or needed):
            text = _parameter(parameter, asked)
            if text:
                values[parameter.name] = text
    return Answers(chosen.name, values)


def fault(parameter: "TemplateParameter", text: str) -> str | None:
    """What is wrong with this text as its value, as far as can be told here."""
    if not text:
        needed = parameter.required and parameter.default is None
        return "it is needed" if needed else None
    try:
        value = typed({parameter.name: text}, [parameter])[parameter.name]
    except Invalid as error:
        return error.errors[0].message
    values: list[object] = list(value) if isinstance(value, list) else [value]
    if parameter.options and (unknown := [v for v in values if str(v) not in parameter.options]):
        return f"{unknown[0]} is none of {', '.join(parameter.options)}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        if parameter.min is not None and value < parameter.min:
            return f"it is at least {parameter.min:g}"
        if parameter.max is not None and value > parameter.max:
            return f"it is at most {parameter.max:g}"
    if parameter.pattern is not None and isinstance(value, str) and not _matches(parameter, value):
        return f"it has to look like {parameter.pattern}"
    return None


def question(parameter: "TemplateParameter") -> str:
    """`cpu, a number from 1 to 8 [2]: `."""
    about = _WORDS.get(str(parameter.type), "")
    if parameter.min is not None or parameter.max is not None:
        low = "" if parameter.min is None else f" from {parameter.min:g}"
        high = "" if parameter.max is None else f" to {parameter.max:g}"
        about += low + high
    default = "" if parameter.default is None else f" [{shown(parameter.default)}]"
    name = parameter.display_name or parameter.name
    return f"{name}{f', {about}' if about else ''}{default}: "


def shown(value: object) -> str:
    """A default as one would type it."""
    match value:
        case bool():
            return "yes" if value else "no"
        case list():
            return ",".join(str(item) for item in value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        case _:
            return str(value)


def choice(text: str, names: Sequence[str]) -> str | None:
    """A name, the beginning of exactly one, or its number in the list from 1 on."""
    if text.isdecimal() and 1 <= int(text) <= len(names):
        return names[int(text) - 1]
    if text in names:
        return text
    beginning = [name for name in names if text and name.startswith(text)]
    return beginning[0] if len(beginning) == 1 else None


def _template(api: "Alcove", ask: Ask) -> "Template":
    ready = [template for template in api.templates.list() if template.active is not None]
    if not ready:
        raise NotFound("there are no templates yet; `alcove template push DIR` makes one")
    screen.say("What do you want to work in?\n")
    width = max(len(template.name) for template in ready)
    for number, template in enumerate(ready, start=1):
        summary = template.description.strip().partition("\n")[0] or template.display_name
        screen.say(f"  {number:>2}  {template.name:<{width}}  {_cut(summary)}")
    screen.say("")
    names = [template.name for template in ready]
    chosen = _choose("Template, by number or name: ", names, ask, default=None)
    return next(template for template in ready if template.name == chosen)


def _preset(presets: "Sequence[TemplatePreset]", ask: Ask) -> dict[str, str]:
    if not presets:
        return {}
    screen.say("\nPresets:\n")
    width = max(len(preset.name) for preset in presets)
    for number, preset in enumerate(presets, start=1):
        values = ", ".join(f"{name}={shown(v)}" for name, v in preset.parameters.items())
        screen.say(f"  {number:>2}  {preset.name:<{width}}  {_cut(preset.description or values)}")
    screen.say("")
    names = [preset.name for preset in presets]
    chosen = _choose("Preset [none]: ", names, ask, default="")
    picked = next((preset for preset in presets if preset.name == chosen), None)
    if picked is None:
        return {}
    return {name: shown(value) for name, value in picked.parameters.items()}


def _choose(prompt: str, names: Sequence[str], ask: Ask, *, default: str | None) -> str:
    while True:
        text = ask(prompt).strip()
        if not text and default is not None:
            return default
        found = choice(text, names)
        if found is not None:
            return found
        screen.say_warning(f"{text or 'nothing'} is none of {', '.join(names)}")


def _parameter(parameter: "TemplateParameter", ask: Ask) -> str:
    if parameter.description.strip():
        screen.say(f"\n{parameter.description.strip()}")
    if parameter.options:
        screen.say(f"  {'  '.join(f'{n} {o}' for n, o in enumerate(parameter.options, start=1))}")
    while True:
        text = ask(question(parameter)).strip()
        if parameter.options and str(parameter.type) != "list" and text:
            # A number that is itself an option means that option.
            text = text if text in parameter.options else choice(text, parameter.options) or text
        wrong = fault(parameter, text)
        if wrong is None:
            return text
        screen.say_warning(wrong)


def _matches(parameter: "TemplateParameter", value: str) -> bool:
    """True where it cannot be told here: the server's patterns are its own affair."""
    assert parameter.pattern is not None
    if len(parameter.pattern) > PATTERN_MAX or len(value) > PATTERN_MAX:
        return True
    try:
        return re.fullmatch(parameter.pattern, value) is not None
    except re.error:
        return True


def _cut(text: str) -> str:
    return text if len(text) <= SUMMARY_MAX else f"{text[: SUMMARY_MAX - 1]}…"


def _ask(prompt: str) -> str:
    """On stderr: stdout has the name of what is made. An end of the input is an interruption."""
    sys.stderr.write(screen.clean(prompt))
    sys.stderr.flush()
    line = sys.stdin.readline()
    if not line:
        raise KeyboardInterrupt
    return line
