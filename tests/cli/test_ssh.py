"""`alcove ssh`: which words are whose, and the real OpenSSH into a real workspace."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest
import typer

from alcove.cli.cp import Remote
from alcove.cli.ssh import Asked, find_program, host_of, read_arguments
from alcove.cli.sync import far_side, inside, options_of, state_of
from alcove.sdk.errors import Unsupported
from tests.cli.conftest import CommandLine


@pytest.mark.parametrize(
    ("words", "options", "command"),
    [
        (["api"], [], []),
        (["api", "ls", "-l"], [], ["ls", "-l"]),
        (["api", "--", "ls", "-l"], [], ["ls", "-l"]),
        (["-v", "api"], ["-v"], []),
        (["-L", "8080:localhost:80", "-N", "api"], ["-L", "8080:localhost:80", "-N"], []),
        (["-L8080:localhost:80", "api"], ["-L8080:localhost:80"], []),
        (["-vL", "8080:localhost:80", "api"], ["-vL", "8080:localhost:80"], []),
        (["api", "-N", "-D", "1080"], ["-N", "-D", "1080"], []),
        (["-o", "LogLevel=DEBUG", "api", "-t", "top"], ["-o", "LogLevel=DEBUG", "-t"], ["top"]),
        (["-tt", "--", "api", "top"], ["-tt"], ["top"]),
    ],
)
def test_words_are_read_as_ssh_reads_them(
    words: list[str], options: list[str], command: list[str]
) -> None:
    assert read_arguments(words) == Asked(tuple(options), "api", tuple(command))


@pytest.mark.parametrize("words", [["-v"], ["-L", "api"], ["--", "-oProxyCommand=x"]])
def test_without_a_workspace_nothing_is_run(words: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        read_arguments(words)


def test_somebody_elses_workspace_has_its_owner_in_its_host() -> None:
    assert host_of("api") == "api.alcove"
    assert host_of("ada/api") == "api.ada.alcove"


def test_without_an_ssh_client_it_says_what_to_install(tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", str(tmp_path))
        with pytest.raises(Unsupported, match="openssh-client"):
            find_program("ssh")


def test_a_path_is_never_a_host_or_an_option() -> None:
    assert inside("a:b") == "./a:b/"
    assert inside("-n") == "./-n/"
    assert inside("/tmp/x") == "/tmp/x/"
    assert far_side(Remote("api", ".")) == "alcove@api.alcove:./"
    assert far_side(Remote("ada/api", "/srv/")) == "alcove@api.ada.alcove:/srv/"


def test_nothing_is_deleted_unless_it_is_said() -> None:
    assert "--delete" not in options_of(delete=False, exclude=["*.o"], dry_run=False)
    assert "--exclude=*.o" in options_of(delete=True, exclude=["*.o"], dry_run=False)


def test_a_change_of_a_file_is_seen(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    before = state_of(tmp_path)
    (tmp_path / "a").write_text("12")
    assert state_of(tmp_path) != before


@pytest.mark.root
def test_a_command_runs_there_and_its_code_is_ours(alcove: CommandLine, workspace: str) -> None:
    done = alcove("ssh", workspace, "--", "cat; exit 7", stdin=b"ping")
    assert (done.returncode, done.stdout) == (7, b"ping"), done.stderr


@pytest.mark.root
def test_a_lot_passes_both_ways(alcove: CommandLine, workspace: str) -> None:
    sent = os.urandom(8 << 20)
    done = alcove("ssh", workspace, "cat", stdin=sent)
    assert done.returncode == 0, done.stderr
    assert hashlib.sha256(done.stdout).digest() == hashlib.sha256(sent).digest()


@pytest.mark.root
def test_what_is_not_there_is_said(alcove: CommandLine) -> None:
    done = alcove("ssh", "no-such", "true")
    assert done.returncode == 255
    assert b"no-such" in done.stderr


@pytest.mark.root
def test_plain_ssh_and_what_is_built_on_it_find_workspaces(
    alcove: CommandLine, workspace: str, tmp_path: Path
) -> None:
    config = tmp_path / "config"
    assert alcove("config-ssh", "-F", config).returncode == 0

    def plain(*argv: str | Path) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            argv, env=alcove.environment, capture_output=True, timeout=60, check=False
        )

    done = plain("ssh", "-F", config, f"{workspace}.alcove", "echo in")
    assert done.stdout == b"in\n", done.stderr
    (tmp_path / "sent").write_text("by sftp")
    done = plain("scp", "-F", config, tmp_path / "sent", f"{workspace}.alcove:{tmp_path}/got")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "got").read_text() == "by sftp"


@pytest.mark.root
def test_a_directory_is_synced_either_way(
    alcove: CommandLine, workspace: str, tmp_path: Path
) -> None:
    near, far, back = tmp_path / "near", tmp_path / "far", tmp_path / "back"
    (near / "deep").mkdir(parents=True)
    (near / "deep/a b").write_text("1")
    (near / "skip.o").write_text("2")
    done = alcove("sync", near, f"{workspace}:{far}", "-x", "*.o")
    assert done.returncode == 0, done.stderr
    assert (far / "deep/a b").read_text() == "1"
    assert not (far / "skip.o").exists()
    (far / "extra").write_text("3")
    assert alcove("sync", near, f"{workspace}:{far}").returncode == 0
    assert (far / "extra").exists()
    assert alcove("sync", near, f"{workspace}:{far}", "--delete").returncode == 0
    assert not (far / "extra").exists()
    back.mkdir()
    assert alcove("sync", f"{workspace}:{far}", back).returncode == 0
    assert (back / "deep/a b").read_text() == "1"


@pytest.mark.root
def test_keys_are_added_listed_and_removed(alcove: CommandLine, tmp_path: Path) -> None:
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada@laptop", "-f", tmp_path / "k"],
        check=True,
    )
    added = alcove("key", "add", tmp_path / "k.pub", "--json")
    assert added.returncode == 0, added.stderr
    listed = alcove("key", "list").stdout.decode()
    assert "ada@laptop" in listed
    key = listed.splitlines()[1].split()[0]
    assert alcove("key", "remove", key).returncode == 0
    assert "ada@laptop" not in alcove("key", "list").stdout.decode()
    refused = alcove("key", "add", tmp_path / "k")
    assert refused.returncode == 2
    assert b"private key" in refused.stderr
