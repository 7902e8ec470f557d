"""Tokens: kept for their owner, shown to their server."""

import json
import stat
from pathlib import Path

import pytest

from alcove.sdk.credentials import Credentials, normal_url, resolve
from alcove.sdk.errors import Invalid, Unauthenticated

HERE = "http://127.0.0.1:7080"
THERE = "https://alcove.example.com"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Credentials:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("ALCOVE_URL", "ALCOVE_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return Credentials(tmp_path / "alcove")


def test_a_stored_token_is_used(config: Credentials) -> None:
    config.store(THERE, "t1")
    assert (resolve().url, resolve().token) == (THERE, "t1")


def test_a_stored_token_never_goes_to_another_server(config: Credentials) -> None:
    config.store(THERE, "t1")
    with pytest.raises(Unauthenticated, match="alcove login"):
        resolve("https://evil.example.com")


def test_the_variable_for_one_server_never_goes_to_another(
    config: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALCOVE_URL", THERE)
    monkeypatch.setenv("ALCOVE_TOKEN", "t1")
    with pytest.raises(Unauthenticated):
        resolve(HERE)


def test_a_token_without_a_server_is_for_the_one_that_is_named(
    config: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALCOVE_TOKEN", "t1")
    assert resolve(HERE).token == "t1"


def test_variables_go_before_what_was_stored(
    config: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.store(HERE, "stored")
    monkeypatch.setenv("ALCOVE_URL", THERE)
    monkeypatch.setenv("ALCOVE_TOKEN", "variable")
    assert (resolve().url, resolve().token) == (THERE, "variable")


def test_arguments_go_before_variables(
    config: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALCOVE_TOKEN", "variable")
    assert resolve(THERE, "argument").token == "argument"


def test_the_last_sign_in_is_the_current_server(config: Credentials) -> None:
    config.store(THERE, "t1")
    config.store(HERE, "t2")
    assert resolve().url == HERE
    assert resolve(THERE).token == "t1"


def test_forgetting_a_server_leaves_the_others(config: Credentials) -> None:
    config.store(THERE, "t1")
    config.store(HERE, "t2")
    assert config.forget(HERE)
    assert not config.forget(HERE)
    assert resolve().url == THERE


def test_the_file_is_for_its_owner_only(config: Credentials) -> None:
    config.store(HERE, "t1")
    assert stat.S_IMODE(config.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.directory.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
def test_a_file_that_others_can_open_is_refused(config: Credentials, mode: int) -> None:
    config.store(HERE, "t1")
    config.path.chmod(mode)
    with pytest.raises(Invalid, match="chmod 600"):
        resolve()


def test_a_token_is_not_written_through_a_link(config: Credentials, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text(json.dumps({"servers": {}}))
    elsewhere.chmod(0o600)
    config.directory.mkdir()
    config.path.symlink_to(elsewhere)
    config.store(HERE, "t1")
    assert "t1" not in elsewhere.read_text()


@pytest.mark.parametrize("content", ["", "[]", '{"servers": []}', '{"servers": {"x": 1}}', "{"])
def test_a_damaged_file_is_named(config: Credentials, content: str) -> None:
    config.directory.mkdir()
    config.path.write_text(content)
    config.path.chmod(0o600)
    with pytest.raises(Invalid, match=r"credentials\.json is damaged"):
        resolve()


def test_a_failed_write_leaves_the_old_file(
    config: Credentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    config.store(HERE, "t1")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        config.store(HERE, "t2")
    assert resolve().token == "t1"
    assert [path.name for path in config.directory.iterdir()] == ["credentials.json"]


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("http://127.0.0.1:7080/", HERE),
        ("HTTPS://Alcove.Example.com:443", THERE),
        ("alcove.example.com", THERE),
        ("http://[::1]:7080", "http://[::1]:7080"),
        ("https://example.com/alcove/", "https://example.com/alcove"),
    ],
)
def test_one_server_has_one_name(given: str, normal: str) -> None:
    assert normal_url(given) == normal


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "https://u:p@x", "http://x:99999", "http://x?a=1"]
)
def test_what_is_no_server_is_refused(url: str) -> None:
    with pytest.raises(Invalid):
        normal_url(url)


@pytest.mark.parametrize("token", ["a\nb", "a b", "ü", "\x1b[0m"])
def test_a_token_that_does_not_fit_into_a_header_is_refused(token: str) -> None:
    with pytest.raises(Unauthenticated, match="copy it again"):
        resolve(HERE, token)


def test_a_server_that_is_known_can_be_made_the_current_one(config: Credentials) -> None:
    config.store(HERE, "t1")
    config.store(THERE, "t2")
    config.make_current(HERE)
    config.make_current("https://unknown.example.com")
    assert (resolve().url, resolve().token) == (HERE, "t1")
