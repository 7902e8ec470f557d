"""Every setting is described in the operator's guide, and nothing else is."""

import re
from dataclasses import fields
from pathlib import Path

from alcove.config import Settings

PAGE = Path(__file__).parents[2] / "docs/operator/settings.md"


def test_the_page_lists_exactly_the_settings_there_are() -> None:
    described = set(re.findall(r"^\| `([a-z0-9_]+)` \|", PAGE.read_text(), re.MULTILINE))
    assert described == {f.name for f in fields(Settings)}
