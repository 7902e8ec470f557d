"""`sandbox.files`, and signed URLs."""

import asyncio
import io
import urllib.error
import urllib.parse
import urllib.request

from common import done, failure, until


async def check_text_there_and_back(sdk):
    sandbox = await sdk.sandbox()
    info = await done(sandbox.files.write("deep/er/hello.txt", "Grüße\n"))
    assert info.name == "hello.txt"
    assert info.path.endswith("/deep/er/hello.txt"), info
    assert await done(sandbox.files.read("deep/er/hello.txt")) == "Grüße\n"
    assert await done(sandbox.files.read(info.path)) == "Grüße\n"


async def check_bytes_and_streams(sdk):
    sandbox = await sdk.sandbox()
    data = bytes(range(256)) * 20_000
    await done(sandbox.files.write("data.bin", data))
    assert bytes(await done(sandbox.files.read("data.bin", format="bytes"))) == data
    stream = await done(sandbox.files.read("data.bin", format="stream"))
    pieces = [piece async for piece in stream] if sdk.asynchronous else list(stream)
    assert b"".join(pieces) == data
    await done(sandbox.files.write("from-io.bin", io.BytesIO(data)))
    assert bytes(await done(sandbox.files.read("from-io.bin", format="bytes"))) == data


async def check_an_empty_file(sdk):
    sandbox = await sdk.sandbox()
    await done(sandbox.files.write("empty", ""))
    assert await done(sandbox.files.read("empty")) == ""


async def check_compressed_both_ways(sdk):
    sandbox = await sdk.sandbox()
    try:
        await done(sandbox.files.write("text", "word " * 50_000, gzip=True))
    except TypeError:
        return
    assert await done(sandbox.files.read("text", gzip=True)) == "word " * 50_000
    found = await done(sandbox.commands.run("wc -c < text"))
    assert found.stdout.strip() == "250000"


async def check_several_at_once(sdk):
    sandbox = await sdk.sandbox()
    await done(
        sandbox.files.write_files(
            [{"path": "a/one.txt", "data": "1"}, {"path": "b/two.txt", "data": b"2"}]
        )
    )
    assert await done(sandbox.files.read("a/one.txt")) == "1"
    assert await done(sandbox.files.read("b/two.txt")) == "2"
    assert await done(sandbox.files.write_files([])) == []


async def check_one_large_octet_stream(sdk):
    sandbox = await sdk.sandbox()
    data = b"0123456789abcdef" * (1 << 20)
    try:
        await done(sandbox.files.write("large", data, use_octet_stream=True))
    except TypeError:
        await done(sandbox.files.write("large", data))
    found = await done(sandbox.commands.run("wc -c < large"))
    assert int(found.stdout) == len(data)


async def check_metadata_of_a_file(sdk):
    sandbox = await sdk.sandbox()
    try:
        await done(sandbox.files.write("tagged", "x", metadata={"origin": "test"}))
    except TypeError:
        return
    info = await done(sandbox.files.get_info("tagged"))
    assert info.metadata == {"origin": "test"}, info


async def check_list_with_depth(sdk):
    sandbox = await sdk.sandbox()
    await done(sandbox.files.write("top/file", "1"))
    await done(sandbox.files.write("top/inner/file", "22"))
    found = {one.name: one for one in await done(sandbox.files.list("top"))}
    assert set(found) == {"file", "inner"}
    assert (found["file"].type.value, found["inner"].type.value) == ("file", "dir")
    assert found["file"].size == 1
    deep = [one.path for one in await done(sandbox.files.list("top", depth=2))]
    assert any(path.endswith("top/inner/file") for path in deep), deep


async def check_exists_and_info(sdk):
    sandbox = await sdk.sandbox()
    await done(sandbox.files.write("here", "abc"))
    assert await done(sandbox.files.exists("here")) is True
    assert await done(sandbox.files.exists("not-here")) is False
    info = await done(sandbox.files.get_info("here"))
    assert (info.name, info.size, info.type.value) == ("here", 3, "file"), info
    assert all((info.permissions, info.owner, info.modified_time)), info
    await done(sandbox.commands.run("ln -s here link"))
    link = await done(sandbox.files.get_info("link"))
    assert (link.symlink_target or "").endswith("here"), link


async def check_directories(sdk):
    sandbox = await sdk.sandbox()
    assert await done(sandbox.files.make_dir("new/inner")) is True
    assert await done(sandbox.files.make_dir("new/inner")) is False
    renamed = await done(sandbox.files.rename("new", "other"))
    assert renamed.path.endswith("/other")
    assert await done(sandbox.files.exists("other/inner"))
    assert await done(sandbox.files.exists("new")) is False
    await done(sandbox.files.remove("other"))
    assert await done(sandbox.files.exists("other")) is False


async def check_what_is_not_there(sdk):
    sandbox = await sdk.sandbox()
    for call, path in (
        (sandbox.files.read, "nothing"),
        (sandbox.files.list, "nothing"),
        (sandbox.files.get_info, "nothing"),
    ):
        error = await failure(call, path)
        assert isinstance(error, sdk.e2b.NotFoundException), repr(error)
    error = await failure(sandbox.files.rename, "nothing", "something")
    assert isinstance(error, sdk.e2b.NotFoundException), repr(error)


async def check_a_directory_is_no_file(sdk):
    sandbox = await sdk.sandbox()
    await done(sandbox.files.make_dir("directory"))
    error = await failure(sandbox.files.read, "directory")
    assert isinstance(error, sdk.e2b.InvalidArgumentException), repr(error)


async def check_watching_a_directory(sdk):
    sandbox = await sdk.sandbox()
    await done(sandbox.files.make_dir("seen/below"))
    events = []
    if sdk.asynchronous:
        handle = await sandbox.files.watch_dir("seen", on_event=events.append, recursive=True)

        async def more():
            return events
    else:
        handle = sandbox.files.watch_dir("seen", recursive=True)

        async def more():
            events.extend(handle.get_new_events())
            return events

    await done(sandbox.files.write("seen/first", "1"))
    await done(sandbox.files.write("seen/below/second", "2"))
    await done(sandbox.files.remove("seen/first"))

    async def all_seen():
        kinds = {(one.name, one.type.value) for one in await more()}
        return {("first", "create"), ("below/second", "create"), ("first", "remove")} <= kinds

    await until(all_seen)
    await done(handle.stop())
    await failure(sandbox.files.watch_dir, "no/such/place", *([print] if sdk.asynchronous else []))


def fetched(url, data=None, headers=None):
    request = urllib.request.Request(url, data, headers or {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


def refused(url, data=None, headers=None):
    try:
        fetched(url, data, headers)
    except urllib.error.HTTPError as error:
        return error.code
    raise AssertionError(f"{url} was answered")


MULTIPART = {"Content-Type": "multipart/form-data; boundary=xx"}
UPLOAD = (
    b'--xx\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    b"from a form\r\n--xx--\r\n"
)


async def check_a_signed_download(sdk):
    sandbox = await sdk.sandbox()
    await done(sandbox.files.write("secret & more.txt", "read me"))
    url = sandbox.download_url("secret & more.txt")
    assert await asyncio.to_thread(fetched, url) == b"read me"
    short = sandbox.download_url("secret & more.txt", use_signature_expiration=60)
    assert await asyncio.to_thread(fetched, short) == b"read me"
    past = sandbox.download_url("secret & more.txt", use_signature_expiration=-60)
    assert await asyncio.to_thread(refused, past) == 401


async def check_a_signed_upload(sdk):
    sandbox = await sdk.sandbox()
    url = sandbox.upload_url("up/loaded.txt")
    await asyncio.to_thread(fetched, url, UPLOAD, MULTIPART)
    assert await done(sandbox.files.read("up/loaded.txt")) == "from a form"


async def check_a_signature_is_for_one_path_and_one_way(sdk):
    sandbox = await sdk.sandbox()
    await done(sandbox.files.write("one", "1"))
    await done(sandbox.files.write("two", "2"))
    url = sandbox.download_url("one")
    assert await asyncio.to_thread(refused, url.replace("path=one", "path=two")) == 401
    # The first of two says what was signed, and is what is read.
    assert await asyncio.to_thread(fetched, url + "&path=two") == b"1"
    assert await asyncio.to_thread(refused, url, UPLOAD, MULTIPART) == 401
    assert await done(sandbox.files.read("one")) == "1"
    parts = urllib.parse.urlsplit(url)
    bare = parts._replace(query="path=one").geturl()
    assert await asyncio.to_thread(refused, bare) in (401, 404)
