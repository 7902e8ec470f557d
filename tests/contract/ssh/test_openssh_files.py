"""OpenSSH's sftp and scp, and rsync, with a workspace."""

import os

from tests.contract.ssh.stage import Stage

SECOND_MIB = 1 << 20


async def sftp(stage: Stage, where: str, batch: str, *, check: int | None = 0) -> str:
    await stage.key()
    words = ["sftp", *stage.options(), "-q", "-b", "-", f"{where}@127.0.0.1"]
    done = await stage.run(*words, input=batch.encode(), check=check)
    return done.stdout.decode() + done.stderr.decode()


async def test_sftp_puts_and_gets_a_file_unchanged(stage: Stage) -> None:
    workspace = await stage.workspace("api")
    sent = os.urandom(5 * SECOND_MIB + 17)
    (stage.client / "sent").write_bytes(sent)
    await sftp(stage, "api", "put sent there\nget there back\n")
    assert (stage.home(workspace) / "there").read_bytes() == sent
    assert (stage.client / "back").read_bytes() == sent
