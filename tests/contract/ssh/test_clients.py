"""Programs that people use over SSH: Paramiko, Ansible and git, as they are published."""

import tempfile
from collections.abc import Generator
from pathlib import Path

import anyio
import pytest

from tests.contract.ssh.clients import programs
from tests.contract.ssh.stage import Stage
from tests.contract.ssh.test_openssh_forwarding import reverser
from tests.ports import free_port

PROGRAM = Path(__file__).parent / "programs/paramiko_client.py"


async def installed() -> Path:
    return await anyio.to_thread.run_sync(programs)


async def test_paramiko_runs_commands_moves_files_and_forwards(stage: Stage) -> None:
    await stage.workspace("api")
    key, bin = await stage.key(), await installed()
    async with stage.inside("api", reverser("127.0.0.1", 8123)):
        words = [bin / "python", PROGRAM, str(stage.port), key, "api", "8123"]
        done = await stage.run(*words)
    assert done.stdout == b"all\n"


@pytest.fixture
def short() -> Generator[Path]:
    """A directory with a name that leaves room: that of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="cp-") as path:
        yield Path(path)


async def test_ansible_pings_and_copies(stage: Stage, short: Path) -> None:
    home = stage.home(await stage.workspace("api"))
    key, bin = await stage.key(), await installed()
    known = f"-o UserKnownHostsFile={stage.client}/known_hosts -o StrictHostKeyChecking=accept-new"
    inventory = (
        f"api ansible_host=127.0.0.1 ansible_port={stage.port} ansible_user=api "
        f"ansible_ssh_private_key_file={key} ansible_python_interpreter=/usr/bin/python3 "
        f'ansible_ssh_common_args="-F none {known}"\n'
    )
    (stage.client / "hosts").write_text(inventory)
    (stage.client / "sent").write_text("text")
    ansible = [bin / "python", "-m", "ansible", "adhoc", "api", "-i", "hosts"]
    env = {
        "ANSIBLE_HOME": str(stage.client / "ansible"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(short),
        "LC_ALL": "C.UTF-8",
    }
    done = await stage.run(*ansible, "-m", "ping", env=env)
    assert b'"ping": "pong"' in done.stdout
    done = await stage.run(*ansible, "-m", "copy", "-a", "src=sent dest=there mode=0640", env=env)
    assert b'"changed": true' in done.stdout
    assert (home / "there").read_text() == "text"


async def repository(stage: Stage) -> Path:
    """One of the client's, with a commit; and an empty one in the workspace."""
    await stage.ssh("api", "git init -q --bare there.git")
    local = stage.client / "local"
    await stage.run("git", "init", "-q", "-b", "main", local)
    who = ("-c", "user.name=dev", "-c", "user.email=dev@example.com")
    make = ("commit", "-q", "--allow-empty", "-m", "first")
    await stage.run("git", "-C", local, *who, *make)
    return local


async def test_git_pushes_and_clones_over_ssh(stage: Stage) -> None:
    home = stage.home(await stage.workspace("api"))
    local = await repository(stage)
    env = {"GIT_SSH_COMMAND": " ".join(["ssh", *stage.options()])}
    url = f"ssh://api@127.0.0.1{home}/there.git"
    await stage.run("git", "-C", local, "push", "-q", url, "main", env=env)
    await stage.run("git", "clone", "-q", "-b", "main", url, "cloned", env=env)
    log = await stage.run("git", "-C", "cloned", "log", "--format=%s")
    assert log.stdout == b"first\n"


async def test_git_pushes_through_a_forwarded_port(stage: Stage) -> None:
    await stage.workspace("api")
    local = await repository(stage)
    port = free_port()
    daemon = (
        "import subprocess, socket, time\n"
        "p = subprocess.Popen(['git', 'daemon', '--export-all', '--enable=receive-pack',"
        " '--base-path=.', '--listen=127.0.0.1', '--port=9418'])\n"
        "while socket.socket().connect_ex(('127.0.0.1', 9418)): time.sleep(0.05)\n"
        "print('up'); p.wait()"
    )
    async with (
        stage.inside("api", daemon),
        stage.forwarding("api", "-L", f"{port}:localhost:9418"),
    ):
        url = f"git://127.0.0.1:{port}/there.git"
        await stage.run("git", "-C", local, "push", "-q", url, "main")
    log = await stage.ssh("api", "git -C there.git log --format=%s main")
    assert log.stdout == b"first\n"
