"""Addresses that open a workspace in an editor."""

from urllib.parse import parse_qs, urlsplit

import pytest

from alcove.model.editors import host_name, links

FOLDER = "/home/dev/my work#1"


def url(word: str) -> str:
    [found] = [e.url for e in links("api.ada.alcove", folder=FOLDER, user="dev") if e.word == word]
    return found


def test_only_somebody_elses_workspace_is_named_with_its_owner() -> None:
    assert host_name("api", "ada", own=True) == "api.alcove"
    assert host_name("api", "ada", own=False) == "api.ada.alcove"


@pytest.mark.parametrize(
    ("word", "before"),
    [
        ("vscode", "vscode://vscode-remote/ssh-remote+"),
        ("cursor", "cursor://vscode-remote/ssh-remote+"),
        ("zed", "zed://ssh/"),
    ],
)
def test_a_folder_of_odd_characters_stays_one_path(word: str, before: str) -> None:
    assert url(word) == f"{before}api.ada.alcove/home/dev/my%20work%231"


def test_jetbrains_is_told_everything_in_the_fragment() -> None:
    parts = urlsplit(url("jetbrains"))
    assert (parts.scheme, parts.netloc) == ("jetbrains-gateway", "connect")
    assert parse_qs(parts.fragment) == {
        "host": ["api.ada.alcove"],
        "port": ["22"],
        "user": ["dev"],
        "type": ["ssh"],
        "deploy": ["true"],
        "projectPath": [FOLDER],
    }
