"""OpenSSH's sftp and scp, and rsync, with a workspace."""

import os
import stat
from pathlib import Path

import pytest

from tests.contract.ssh.stage import Stage

MIB = 1 << 20


@pytest.fixture
async def home(stage: Stage) -> Path:
    """That of a workspace `api`."""
    return stage.home(await stage.workspace("api"))


async def sftp(stage: Stage, batch: str, *, check: int | None = 0) -> str:
    await stage.key()
    words = ["sftp", *stage.options(), "-q", "-b", "-", "api@127.0.0.1"]
    done = await stage.run(*words, input=batch.encode(), check=check)
    return done.stdout.decode() + done.stderr.decode()


async def scp(stage: Stage, *words: str, check: int | None = 0) -> str:
    await stage.key()
    done = await stage.run("scp", *stage.options(), *words, check=check)
    return done.stderr.decode()


async def rsync(stage: Stage, *words: str) -> str:
    await stage.key()
    shell = " ".join(["ssh", *stage.options()])
    done = await stage.run("rsync", "-e", shell, *words)
    return done.stdout.decode()


def tree(base: Path) -> None:
    """A directory with what is easily lost: links, modes, times, names."""
    deep = base / "one two" / "drei"
    deep.mkdir(parents=True)
    (deep / "ünï'code").write_text("text")
    (deep / "run").write_text("#!/bin/sh\n")
    (deep / "run").chmod(0o750)
    (base / "empty").touch()
    os.utime(base / "empty", (1_000_000_000, 1_234_567_890))
    (base / "link").symlink_to("one two/drei/run")


def count(base: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(base))


async def test_sftp_puts_and_gets_a_file_unchanged(stage: Stage, home: Path) -> None:
    sent = os.urandom(5 * MIB + 17)
    (stage.client / "sent").write_bytes(sent)
    await sftp(stage, "put sent there\nget there back\n")
    assert (home / "there").read_bytes() == sent
    assert (stage.client / "back").read_bytes() == sent
    assert (home / "there").stat().st_uid == 1000


async def test_sftp_goes_on_where_a_transfer_broke_off(stage: Stage, home: Path) -> None:
    sent = os.urandom(3 * MIB)
    (stage.client / "sent").write_bytes(sent)
    (home / "there").write_bytes(sent[:MIB])
    (home / "there").chmod(0o666)
    (stage.client / "back").write_bytes(sent[: 2 * MIB])
    await sftp(stage, "reput sent there\nreget there back\n")
    assert (home / "there").read_bytes() == sent
    assert (stage.client / "back").read_bytes() == sent


async def test_sftp_does_what_its_commands_say(stage: Stage, home: Path) -> None:
    batch = """
        mkdir d
        put known_hosts d/a
        ln -s a d/link
        ln d/a d/hard
        rename d/hard d/other
        chmod 640 d/a
        copy d/a d/copied
        rm d/other
        ls -la d
        df d
    """
    said = await sftp(stage, "\n".join(line.strip() for line in batch.splitlines()))
    assert {path.name for path in (home / "d").iterdir()} == {"a", "link", "copied"}
    assert str((home / "d/link").readlink()) == "a"
    assert stat.S_IMODE((home / "d/a").stat().st_mode) == 0o640
    assert (home / "d/copied").read_bytes() == (stage.client / "known_hosts").read_bytes()
    assert "-rw-r-----    ? dev      dev" in said
    assert "%Capacity" in said


@pytest.mark.usefixtures("home")
async def test_sftp_says_why_it_cannot(stage: Stage) -> None:
    said = await sftp(
        stage, "-get /etc/shadow\n-put known_hosts /etc/x\n-ls /none\n-rename .profile .bashrc\n"
    )
    assert said.count("ermission denied") == 2
    assert "not found" in said


async def test_scp_copies_a_tree_with_its_modes_and_times(stage: Stage, home: Path) -> None:
    tree(stage.client / "tree")
    await scp(stage, "-rpq", "tree", "api@127.0.0.1:")
    await scp(stage, "-rpq", "api@127.0.0.1:tree", "back")
    for base in (home / "tree", stage.client / "back"):
        assert (base / "one two/drei/ünï'code").read_text() == "text"
        assert stat.S_IMODE((base / "one two/drei/run").stat().st_mode) == 0o750
        assert (base / "empty").stat().st_mtime == 1_234_567_890
        assert (base / "link").read_text() == "#!/bin/sh\n"


async def test_the_former_protocol_of_scp_works_where_scp_is(stage: Stage, home: Path) -> None:
    (stage.client / "sent").write_bytes(b"text")
    await scp(stage, "-Oq", "sent", "api@127.0.0.1:there")
    await scp(stage, "-Oq", "api@127.0.0.1:there", "back")
    assert (home / "there").read_bytes() == (stage.client / "back").read_bytes() == b"text"


async def test_rsync_brings_over_what_changed_and_removes_what_went(
    stage: Stage, home: Path
) -> None:
    tree(stage.client / "tree")
    await rsync(stage, "-a", "tree/", "api@127.0.0.1:tree/")
    (stage.client / "tree/empty").unlink()
    (stage.client / "tree/new").write_text("new")
    said = await rsync(stage, "-ai", "--delete", "tree/", "api@127.0.0.1:tree/")
    assert "*deleting   empty" in said
    assert "new" in said
    assert "ünï" not in said
    assert str((home / "tree/link").readlink()) == "one two/drei/run"
    await rsync(stage, "-a", "api@127.0.0.1:tree/", "back/")
    assert (stage.client / "back/new").read_text() == "new"


async def test_thousands_of_small_files_come_over(stage: Stage, home: Path) -> None:
    base = stage.client / "many"
    for number in range(2000):
        (base / str(number % 20)).mkdir(parents=True, exist_ok=True)
        (base / str(number % 20) / f"f{number}").write_text(str(number))
    await scp(stage, "-rq", "many", "api@127.0.0.1:")
    assert count(home / "many") == 2000
    assert (home / "many/19/f1999").read_text() == "1999"


async def test_a_directory_of_a_hundred_thousand_files_is_listed(stage: Stage, home: Path) -> None:
    (home / "d").mkdir()
    for number in range(100_000):
        os.close(os.open(home / "d" / f"f{number}", os.O_CREAT | os.O_WRONLY))
    said = await sftp(stage, "ls -1f d\n")
    assert said.count("\n") >= 100_000


async def test_what_was_read_written_and_removed_is_told(stage: Stage, home: Path) -> None:
    (stage.client / "sent").write_bytes(b"x")
    (home / "old").write_text("old")
    os.chown(home / "old", 1000, 1000)
    await sftp(stage, "put sent a\nput sent b\nget old old\nrename a c\nrm old\n-get none none\n")
    (opened,) = [e for e in await stage.told("channel.opened") if e.detail["kind"] == "sftp"]
    assert opened.actor == "u-ada"
    (written,) = await stage.told("file.written")
    (read,) = await stage.told("file.read")
    (removed,) = await stage.told("file.removed")
    base = f"{home}/"
    paths = written.detail["paths"]
    assert isinstance(paths, list)
    assert [str(path).removeprefix(base) for path in paths] == ["a", "b", "c"]  # pyright: ignore
    assert read.detail["count"] == 1
    assert str(read.detail["path"]).endswith("old")
    assert removed.detail["count"] == 2


@pytest.mark.usefixtures("home")
async def test_who_may_only_look_gets_no_files(stage: Stage) -> None:
    key = await stage.auditor()
    words = stage.options(IdentityFile=str(key))
    done = await stage.run(
        "sftp", *words, "-b", "-", "api.ada@127.0.0.1", input=b"ls\n", check=255
    )
    assert b"alcove:" in done.stderr
    (refused,) = await stage.told("channel.refused")
    assert refused.detail["kind"] == "sftp"
    assert refused.actor == "u-eve"
    assert not await stage.told("channel.opened")
