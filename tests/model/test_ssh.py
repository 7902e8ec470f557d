"""Which workspace a login name means."""

import pytest

from alcove.model.ssh import LOGIN_MAX, read_login


@pytest.mark.parametrize(
    ("login", "meant"),
    [
        ("api", "api"),
        ("api.ada", "ada/api"),
        ("ada/api", "ada/api"),
        ("ws-abcdefgh234567ab", "ws-abcdefgh234567ab"),
        ("a.b.c", "a.b.c"),
        ("Api.ada", "Api.ada"),
        (".ada", ".ada"),
        ("api.", "api."),
        (f"api.{'a' * 33}", f"api.{'a' * 33}"),
    ],
)
def test_only_workspace_and_owner_in_plain_letters_are_turned_round(
    login: str, meant: str
) -> None:
    assert read_login(login) == meant


def test_a_login_name_of_any_length_is_cut() -> None:
    assert read_login("a" * 100_000) == "a" * LOGIN_MAX
