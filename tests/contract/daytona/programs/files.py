import io
import urllib.request
from pathlib import Path

from both import MODE, do, every, raises, run
from daytona import DaytonaNotFoundError, FileDownloadRequest, FileUpload


async def main(daytona):
    sandbox = await do(daytona.create())
    fs = sandbox.fs
    home = await do(sandbox.get_work_dir())
    await do(fs.create_folder(f"{home}/src/deep", "750"))
    info = await do(fs.get_file_info(f"{home}/src/deep"))
    assert info.is_dir and info.permissions == "0750" and info.mode == "drwxr-x---", info
    with raises(404, code="FILE_NOT_FOUND"):
        await do(fs.get_file_info(f"{home}/nothing"))

    await do(fs.upload_file(b"hello world\n", f"{home}/src/a.txt"))
    big = bytes(range(256)) * 8192
    Path("big.bin").write_bytes(big)
    name = 'ünï "q".bin'
    await do(
        fs.upload_files(
            [
                FileUpload(source="big.bin", destination=f"{home}/src/deep/big.bin"),
                FileUpload(source=b"", destination=f"{home}/src/empty"),
                FileUpload(source=b"odd", destination=f"{home}/src/{name}"),
            ]
        )
    )
    assert await do(fs.download_file(f"{home}/src/a.txt")) == b"hello world\n"
    got = await do(
        fs.download_files(
            [
                FileDownloadRequest(source=f"{home}/src/deep/big.bin", destination="out/big"),
                FileDownloadRequest(source=f"{home}/src/{name}"),
                FileDownloadRequest(source=f"{home}/src/none"),
                FileDownloadRequest(source=f"{home}/src/empty"),
            ]
        )
    )
    assert Path("out/big").read_bytes() == big
    assert got[1].result == b"odd" and got[3].result == b"", got
    assert got[2].error and got[2].error_details.code == "FILE_NOT_FOUND", got[2]
    with raises(404) as raised:
        await do(fs.download_file(f"{home}/src/none"))
    assert isinstance(raised[0], DaytonaNotFoundError)

    progress = []
    await do(fs.upload_file_stream(io.BytesIO(big), f"{home}/s", on_progress=progress.append))
    assert progress[-1].bytes_sent == len(big)
    stream = await do(fs.download_file_stream(f"{home}/s"))
    assert b"".join(await every(stream)) == big

    names = sorted(one.name for one in await do(fs.list_files(f"{home}/src")))
    assert names == sorted(["a.txt", "deep", "empty", name]), names
    await do(fs.upload_file(b"x = 1\nhello again\n", f"{home}/src/b.py"))
    hits = await do(fs.find_files(f"{home}/src", "hello"))
    assert sorted((m.file, m.line, m.content) for m in hits) == [
        (f"{home}/src/a.txt", 1, "hello world"),
        (f"{home}/src/b.py", 2, "hello again"),
    ], hits
    assert await do(fs.find_files(f"{home}/src", "a.*b")) == []
    found = await do(fs.search_files(home, "*.py"))
    assert found.files == [f"{home}/src/b.py"], found
    results = await do(
        fs.replace_in_files([f"{home}/src/a.txt", f"{home}/nope"], "hello", "goodbye")
    )
    assert [one.success for one in results] == [True, False] and results[1].error, results
    assert await do(fs.download_file(f"{home}/src/a.txt")) == b"goodbye world\n"
    await do(fs.set_file_permissions(f"{home}/src/a.txt", mode="600"))
    assert (await do(fs.get_file_info(f"{home}/src/a.txt"))).permissions == "0600"
    with raises(400):
        await do(fs.set_file_permissions(f"{home}/src/a.txt", mode="u+s,x"))
    await do(fs.move_files(f"{home}/src/a.txt", f"{home}/src/moved.txt"))
    with raises(400):
        await do(fs.delete_file(f"{home}/src/deep"))
    await do(fs.delete_file(f"{home}/src/deep", recursive=True))
    await do(fs.delete_file(f"{home}/src/moved.txt"))
    assert "moved.txt" not in [one.name for one in await do(fs.list_files(f"{home}/src"))]

    url = await do(sandbox.upload_url(f"{home}/signed"))
    sent = urllib.request.Request(url, data=b"signed", method="POST")
    sent.add_header("content-type", "application/octet-stream")
    urllib.request.urlopen(sent).read()
    url = await do(sandbox.download_url(f"{home}/signed"))
    assert urllib.request.urlopen(url).read() == b"signed"

    metrics = await do(sandbox.get_metrics_latest())
    assert metrics.disk_total > 0 and metrics.cpu_count >= 1
    assert await do(sandbox.get_user_home_dir())
    assert MODE in ("sync", "async")
    await do(sandbox.delete())


run(main)
