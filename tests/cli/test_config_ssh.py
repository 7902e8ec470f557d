"""`alcove config-ssh`: what it writes, where, and all that it leaves alone. The real `ssh -G` says
what OpenSSH makes of it."""

import os
import subprocess
from pathlib import Path

import pytest

from alcove.cli import ssh_config
from alcove.cli.ssh_config import block_of, refuse_same_hosts, with_block
from alcove.sdk.errors import Conflict, Invalid
from tests.cli.conftest import ALCOVE

URL = "https://alcove.example.com"
BEFORE = (
    "# mine\nForwardAgent no\nInclude conf.d/*\n\nHost *.alcove other\n\tPort 2222\n"
    "Host *\n    User ada\n    ProxyCommand none"
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".ssh").mkdir(mode=0o700)
    return tmp_path


def run(
    home: Path, *argv: str | Path, url: str = URL, code: int = 0
) -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [ALCOVE, "config-ssh", *argv],
        env={"HOME": str(home), "ALCOVE_URL": url, "ALCOVE_TOKEN": "x", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done


def effective(file: Path, host: str) -> dict[str, str]:
    """What OpenSSH would do for this host."""
    done = subprocess.run(
        ["ssh", "-G", "-F", file, host], capture_output=True, text=True, check=True
    )
    return dict(line.split(" ", 1) for line in done.stdout.splitlines() if " " in line)


def test_openssh_takes_the_block_and_other_hosts_are_as_before(home: Path) -> None:
    config = home / ".ssh/config"
    config.write_text(BEFORE)
    before = effective(config, "other"), effective(config, "elsewhere")
    run(home)
    found = effective(config, "api.alcove")
    assert found["proxycommand"].endswith(f"ssh --stdio --url {URL} --suffix .alcove '%h'")
    assert found["stricthostkeychecking"] == "true"
    assert found["hostkeyalias"] == "alcove--alcove.example.com"
    assert found["userknownhostsfile"].endswith("/.config/alcove/ssh/known_hosts")
    assert (effective(config, "other"), effective(config, "elsewhere")) == before


def test_all_else_stays_byte_for_byte_and_comes_back_with_remove(home: Path) -> None:
    config = home / ".ssh/config"
    content = b"\xef\xbb\xbf# caf\xe9 \r\nHost a\r\n\tUser b\x0b\n\n\n  # end"
    config.write_bytes(content)
    run(home)
    assert config.read_bytes().endswith(content)
    run(home, "--remove")
    assert config.read_bytes() == content


def test_running_it_again_changes_nothing(home: Path) -> None:
    config = home / ".ssh/config"
    config.write_text(BEFORE)
    run(home)
    first, about = config.read_bytes(), config.stat()
    assert "nothing to change" in run(home).stderr
    assert config.read_bytes() == first
    assert config.stat().st_mtime_ns == about.st_mtime_ns


def test_a_block_is_renewed_where_it_stands() -> None:
    old = block_of(URL, ".alcove", multiplex=False)
    new = block_of(URL, ".alcove", multiplex=True)
    assert with_block(f"Host a\n{old}Host b\n", URL, new) == f"Host a\n{new}Host b\n"


def test_the_dry_run_shows_the_difference_and_writes_nothing(home: Path) -> None:
    config = home / ".ssh/config"
    config.write_text(BEFORE)
    shown = run(home, "--dry-run").stdout
    assert "+Host *.alcove" in shown
    assert not any(line.startswith("-") for line in shown.splitlines()[2:])
    assert config.read_text() == BEFORE
    assert run(home, "--dry-run", "--remove").stdout == ""


def test_mode_and_a_link_stay(home: Path) -> None:
    real = home / "dotfiles"
    real.write_text(BEFORE)
    real.chmod(0o640)
    (home / ".ssh/config").symlink_to("../dotfiles")
    run(home)
    assert (home / ".ssh/config").readlink() == Path("../dotfiles")
    assert real.stat().st_mode & 0o777 == 0o640
    assert real.read_text().startswith("# >>> alcove ")
    assert list(home.glob(".dotfiles*")) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_stays(home: Path) -> None:
    config = home / ".ssh/config"
    config.write_text(BEFORE)
    os.chown(config, 1234, 1235)
    run(home)
    assert (config.stat().st_uid, config.stat().st_gid) == (1234, 1235)


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    run(tmp_path)
    assert (tmp_path / ".ssh").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / ".ssh/config").stat().st_mode & 0o777 == 0o600


def test_two_servers_have_hosts_of_their_own(home: Path) -> None:
    other = "https://other.example"
    run(home)
    said = run(home, url=other, code=5).stderr
    assert "--host-suffix" in said
    run(home, "--host-suffix", ".work", url=other)
    config = home / ".ssh/config"
    assert URL in effective(config, "api.alcove")["proxycommand"]
    assert other in effective(config, "api.work")["proxycommand"]
    run(home, "--remove", url=other)
    assert effective(config, "api.work").get("proxycommand") is None
    assert URL in effective(config, "api.alcove")["proxycommand"]


@pytest.mark.parametrize(
    "text",
    [
        f"# >>> alcove {URL}\nHost a\n",
        f"# <<< alcove {URL}\n# >>> alcove {URL}\n",
        f"# >>> alcove {URL}\n# >>> alcove {URL}\n# <<< alcove {URL}\n",
    ],
)
def test_marks_that_do_not_fit_together_are_left_alone(text: str) -> None:
    with pytest.raises(Invalid, match="not one pair"):
        with_block(text, URL, "")


def test_another_servers_block_is_known_by_its_hosts() -> None:
    text = block_of("https://other.example", ".alcove", multiplex=False)
    with pytest.raises(Conflict):
        refuse_same_hosts(text, URL, ".alcove")
    refuse_same_hosts(text, URL, ".work")


@pytest.mark.parametrize("suffix", ["alcove", ".", ".a b", ".a*", ".a\nHost *", "..a", ".a."])
def test_what_is_no_suffix_is_refused(home: Path, suffix: str) -> None:
    run(home, "--host-suffix", suffix, code=2)
    assert not (home / ".ssh/config").exists()


def test_a_file_that_changes_at_this_moment_is_not_overwritten(home: Path) -> None:
    config = home / ".ssh/config"
    config.write_text("Host new\n")
    with pytest.raises(Conflict, match="changed"):
        ssh_config.replace(config, "x", expected="Host old\n")
    assert config.read_text() == "Host new\n"
    assert [path.name for path in (home / ".ssh").iterdir()] == ["config"]


def test_a_host_s_name_is_no_command() -> None:
    """OpenSSH before 9.6 hands it to a shell as it is."""
    block = block_of(URL, ".alcove", multiplex=False)
    assert "'%h'" in block
    assert '!"*\'*"' in block
