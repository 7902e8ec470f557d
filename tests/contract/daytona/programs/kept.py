import socket
import urllib.request

from both import do, raises, run
from daytona import CreateSandboxFromSnapshotParams


async def main(daytona):
    sandbox = await do(daytona.create())
    home = await do(sandbox.get_work_dir())
    await do(sandbox.fs.upload_file(b"kept", f"{home}/f"))
    await do(sandbox.create_snapshot("mine"))
    listed = await do(daytona.snapshot.list())
    assert {one.name for one in listed.items} >= {"mine", "plain"}, listed
    mine = await do(daytona.snapshot.get("mine"))
    assert mine.state.value == "active" and mine.source_sandbox_id == sandbox.id
    made = await do(daytona.create(CreateSandboxFromSnapshotParams(snapshot="mine")))
    place = await do(made.get_work_dir())
    assert await do(made.fs.download_file(f"{place}/f")) == b"kept"
    forked = await do(sandbox.fork(name="forked"))
    place = await do(forked.get_work_dir())
    assert await do(forked.fs.download_file(f"{place}/f")) == b"kept"
    with raises(404):
        await do(daytona.snapshot.delete("plain"))
    await do(daytona.snapshot.delete("mine"))

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    await do(
        sandbox.process.exec(
            f"echo served >index.html; python3 -m http.server {port} >/dev/null 2>&1 & "
            f"echo $! >pid; for i in $(seq 200); do curl -sf http://127.0.0.1:{port} && break;"
            " sleep 0.05; done"
        )
    )
    link = await do(sandbox.get_preview_link(port))
    assert link.token
    asked = urllib.request.Request(link.url, headers={"x-daytona-preview-token": link.token})
    assert b"served" in urllib.request.urlopen(asked).read()
    signed = await do(sandbox.create_signed_preview_url(port, 60))
    assert b"served" in urllib.request.urlopen(signed.url).read()
    with raises(501):
        await do(sandbox.expire_signed_preview_url(port, signed.token))
    await do(sandbox.process.exec("kill $(cat pid)"))
    for one in (sandbox, made, forked):
        await do(one.delete())


run(main)
