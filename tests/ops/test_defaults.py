"""The first configuration file says what was found, in a form that the server reads back."""

import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest

from alcove import config
from alcove.model.errors import Invalid
from alcove.ops.defaults import as_toml, hosts, private_networks


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    values = {
        "http_address": "127.0.0.1:7081",
        "trusted_networks": ["203.0.113.80/32", "198.51.100.0/30"],
        "ca_bundle": 'a "quoted" \\ path',
        "cpu_max": 8,
    }
    file = tmp_path / "alcove.toml"
    file.write_text(as_toml(values))
    settings = config.load({"ALCOVE_CONFIG": str(file)})
    assert settings.http_address == "127.0.0.1:7081"
    assert settings.trusted_networks == ("203.0.113.80/32", "198.51.100.0/30")
    assert settings.ca_bundle == 'a "quoted" \\ path'
    assert settings.cpu_max == 8


def test_the_file_is_valid_toml() -> None:
    assert tomllib.loads(as_toml({"a": "b", "c": ["d"]})) == {"a": "b", "c": ["d"]}


def test_only_addresses_that_are_not_public_need_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = {"mirror.example": "10.1.2.3", "public.example": "8.8.8.8", "me": "127.0.0.1"}

    def resolve(name: str, *_: Any, **__: Any) -> list[Any]:
        if name not in answers:
            raise socket.gaierror
        return [(socket.AF_INET, 1, 6, "", (answers[name], 443))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    assert private_networks([*answers, "unknown.example"]) == ["10.1.2.3/32"]


def test_hosts_are_taken_from_urls_once() -> None:
    found = hosts(["https://a.example/simple", "http://a.example:8080/x", "https://b.example"])
    assert found[:2] == ["a.example", "b.example"]


@pytest.mark.parametrize(
    ("environ", "field"),
    [
        ({"ALCOVE_CPU_MAX": "many"}, "cpu_max"),
        ({"ALCOVE_CPU_MAX": "-1"}, "cpu_max"),
    ],
)
def test_a_wrong_setting_is_named(environ: dict[str, str], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        config.load(environ)
    assert [e.field for e in caught.value.errors] == [field]


def test_a_setting_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "alcove.toml"
    file.write_text('http_adress = "x"\n')
    with pytest.raises(Invalid, match="http_adress"):
        config.load({"ALCOVE_CONFIG": str(file)})


def test_flags_win_over_the_environment_and_that_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "alcove.toml"
    file.write_text('http_address = "a:1"\nlog_format = "json"\ncpu_max = 3\n')
    environ = {"ALCOVE_CONFIG": str(file), "ALCOVE_HTTP_ADDRESS": "b:2", "ALCOVE_CPU_MAX": "4"}
    settings = config.load(environ, {"cpu_max": 5, "log_format": None})
    assert (settings.log_format, settings.http_address, settings.cpu_max) == ("json", "b:2", 5)
