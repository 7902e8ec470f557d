"""`Sandbox`: create, find, keep, pause, fork, snapshot, end."""

import datetime
import os
import urllib.error
import urllib.request

from common import done, every, failure, until


async def check_create_and_kill(sdk):
    sandbox = await sdk.sandbox()
    assert await done(sandbox.is_running()) is True
    assert await done(sandbox.kill()) is True
    assert await done(sandbox.is_running()) is False
    assert await done(sdk.Sandbox.kill(sandbox.sandbox_id)) is False
    error = await failure(sdk.Sandbox.get_info, sandbox.sandbox_id)
    assert isinstance(error, sdk.e2b.NotFoundException), repr(error)


async def check_info(sdk):
    before = datetime.datetime.now(datetime.UTC)
    metadata = {"team": "core", "any key ü/=&": 'any "value"\nof two lines', "empty": ""}
    sandbox = await sdk.sandbox(metadata=metadata, timeout=600)
    info = await done(sandbox.get_info())
    assert info.sandbox_id == sandbox.sandbox_id
    assert info.metadata == metadata, info.metadata
    assert info.state.value == "running"
    assert min(info.cpu_count, info.memory_mb / 128) >= 1, info
    assert abs((info.started_at - before).total_seconds()) < 60
    assert 590 <= (info.end_at - info.started_at).total_seconds() <= 610
    assert await done(sdk.Sandbox.get_info(sandbox.sandbox_id)) is not None


async def check_timeout_counts_from_now(sdk):
    sandbox = await sdk.sandbox()
    await done(sandbox.set_timeout(1200))
    now = datetime.datetime.now(datetime.UTC)
    info = await done(sandbox.get_info())
    assert 1180 < (info.end_at - now).total_seconds() <= 1200
    await done(sdk.Sandbox.set_timeout(sandbox.sandbox_id, 60))
    info = await done(sandbox.get_info())
    assert (info.end_at - now).total_seconds() < 70
    error = await failure(sdk.Sandbox.set_timeout, "ws-aaaaaaaaaaaaaaaa", 60)
    assert isinstance(error, sdk.e2b.NotFoundException), repr(error)


async def check_a_sandbox_ends_at_its_time(sdk):
    sandbox = await sdk.sandbox(timeout=2)

    async def ended():
        return not await done(sandbox.is_running())

    await until(ended, seconds=30)


async def check_connect(sdk):
    sandbox = await sdk.sandbox(timeout=120)
    await done(sandbox.files.write("note", "from the first"))
    other = await done(sdk.Sandbox.connect(sandbox.sandbox_id, timeout=900))
    assert await done(other.files.read("note")) == "from the first"
    info = await done(other.get_info())
    left = info.end_at - datetime.datetime.now(datetime.UTC)
    assert 880 < left.total_seconds() <= 900
    await done(sdk.Sandbox.connect(sandbox.sandbox_id, timeout=60))
    again = await done(sandbox.get_info())
    assert again.end_at == info.end_at, "connecting made its life shorter"
    error = await failure(sdk.Sandbox.connect, "ws-aaaaaaaaaaaaaaaa")
    assert isinstance(error, sdk.e2b.NotFoundException), repr(error)


async def check_list_filters_and_pages(sdk):
    mark = os.urandom(6).hex()
    made = [
        await sdk.sandbox(metadata={"mark": mark, "odd key": f"n {number}"}) for number in range(3)
    ]
    ids = [sandbox.sandbox_id for sandbox in made]
    query = sdk.e2b.SandboxQuery(metadata={"mark": mark})
    found = await every(sdk.Sandbox.list(query=query))
    assert [one.sandbox_id for one in found] == ids[::-1], "newest first"
    found = await every(sdk.Sandbox.list(query=query, limit=1))
    assert [one.sandbox_id for one in found] == ids[::-1], "page by page"
    query = sdk.e2b.SandboxQuery(metadata={"mark": mark, "odd key": "n 1"})
    found = await every(sdk.Sandbox.list(query=query))
    assert [one.sandbox_id for one in found] == [ids[1]]
    everything = {one.sandbox_id for one in await every(sdk.Sandbox.list())}
    assert set(ids) <= everything
    await sdk.pause(made[0])
    states = sdk.e2b.SandboxState
    for state, wanted in ((states.PAUSED, ids[:1]), (states.RUNNING, ids[:0:-1])):
        query = sdk.e2b.SandboxQuery(metadata={"mark": mark}, state=[state])
        found = await every(sdk.Sandbox.list(query=query))
        assert [one.sandbox_id for one in found] == wanted, state


async def check_list_in_order_of_time(sdk):
    mark = os.urandom(6).hex()
    try:
        paginator = sdk.Sandbox.list(order="asc", limit=2)
    except TypeError:
        return
    assert paginator.has_next
    first = await sdk.sandbox(metadata={"mark": mark})
    second = await sdk.sandbox(metadata={"mark": mark})
    query = sdk.e2b.SandboxQuery(metadata={"mark": mark})
    found = await every(sdk.Sandbox.list(query=query, order="asc", limit=1))
    assert [one.sandbox_id for one in found] == [first.sandbox_id, second.sandbox_id]
    since = (await done(second.get_info())).started_at
    later = sdk.e2b.SandboxQuery(metadata={"mark": mark}, started_after=since)
    found = await every(sdk.Sandbox.list(query=later))
    assert [one.sandbox_id for one in found] == [second.sandbox_id]
    other = sdk.e2b.SandboxQuery(metadata={"mark": mark}, template="no-such-template")
    assert await every(sdk.Sandbox.list(query=other)) == []


async def check_pause_and_resume_keep_processes_and_files(sdk):
    sandbox = await sdk.sandbox()
    handle = await done(sandbox.commands.run("sleep 60", background=True))
    await done(sandbox.files.write("kept", "yes"))
    await sdk.pause(sandbox)
    assert await done(sandbox.is_running()) is False
    info = await done(sandbox.get_info())
    assert info.state.value == "paused"
    if sdk.has("pause"):
        assert await done(sandbox.pause()) is False, "it is paused already"
    same = await done(sandbox.connect()) or sandbox
    assert await done(same.is_running()) is True
    assert await done(same.files.read("kept")) == "yes"
    assert handle.pid in [one.pid for one in await done(same.commands.list())]
    # The first object goes on with the token that it has.
    assert await done(sandbox.files.read("kept")) == "yes"


async def check_pause_on_timeout_and_resume(sdk):
    if sdk.has("pause"):
        lifecycle = {"on_timeout": "pause", "auto_resume": False}
        sandbox = await sdk.sandbox(timeout=2, lifecycle=lifecycle)
        info = await done(sandbox.get_info())
        assert info.lifecycle["on_timeout"] == "pause", info
    else:
        sandbox = await done(sdk.Sandbox.beta_create(timeout=2, auto_pause=True))
        sdk.made.append(sandbox)

    async def paused():
        return (await done(sandbox.get_info())).state.value == "paused"

    await until(paused, seconds=40)
    assert await done(sandbox.is_running()) is False
    await done(sandbox.connect(timeout=300))
    assert (await done(sandbox.commands.run("echo back"))).stdout == "back\n"


async def check_auto_resume_on_the_next_request(sdk):
    if not sdk.has("pause"):
        return
    sandbox = await sdk.sandbox(lifecycle={"on_timeout": "pause", "auto_resume": True})
    await done(sandbox.pause())
    assert (await done(sandbox.commands.run("echo awake"))).stdout == "awake\n"


async def check_metrics(sdk):
    sandbox = await sdk.sandbox()
    [found] = await done(sandbox.get_metrics())
    assert min(found.cpu_count, found.mem_total, found.disk_total) >= 1, found
    assert 0 <= found.mem_used <= found.mem_total
    assert abs(found.timestamp.timestamp() - datetime.datetime.now().timestamp()) < 60


async def check_snapshots(sdk):
    if not sdk.has("create_snapshot"):
        return
    sandbox = await sdk.sandbox()
    await done(sandbox.files.write("state", "as it was"))
    name = f"kept-{os.urandom(4).hex()}"
    taken = await done(sandbox.create_snapshot(name=name))
    assert taken.names == [name], taken
    await done(sandbox.files.write("state", "changed"))
    again = await sdk.sandbox(template=taken.snapshot_id)
    assert await done(again.files.read("state")) == "as it was"
    by_name = await sdk.sandbox(template=name)
    assert await done(by_name.files.read("state")) == "as it was"
    found = await every(sdk.Sandbox.list_snapshots())
    assert taken.snapshot_id in [one.snapshot_id for one in found]
    own = await every(sdk.Sandbox.list_snapshots(sandbox_id=sandbox.sandbox_id))
    assert [one.snapshot_id for one in own] == [taken.snapshot_id]
    assert await every(sdk.Sandbox.list_snapshots(sandbox_id=again.sandbox_id)) == []
    assert await done(sdk.Sandbox.delete_snapshot(taken.snapshot_id)) is True
    assert await done(sdk.Sandbox.delete_snapshot(taken.snapshot_id)) is False


async def check_fork(sdk):
    if not sdk.has("fork"):
        return
    sandbox = await sdk.sandbox()
    await done(sandbox.files.write("state", "of the parent"))
    forks = await done(sandbox.fork(count=2, timeout=300))
    sdk.made += forks
    assert len({sandbox.sandbox_id, *(one.sandbox_id for one in forks)}) == 3
    for one in forks:
        assert await done(one.files.read("state")) == "of the parent"
    await done(forks[0].files.write("state", "of its own"))
    assert await done(forks[1].files.read("state")) == "of the parent"
    assert await done(sandbox.files.read("state")) == "of the parent"


async def check_no_internet_is_said_in_the_info(sdk):
    sandbox = await sdk.sandbox(allow_internet_access=False)
    info = await done(sandbox.get_info())
    if hasattr(info, "allow_internet_access"):
        assert info.allow_internet_access is False
    if sdk.has("update_network"):
        await done(sandbox.update_network({"allow_internet_access": False}))
        error = await failure(sandbox.update_network, {"allow_out": ["example.com"]})
        assert "allowOut" in str(error), error


async def check_what_is_not_enforced_is_refused_by_name(sdk):
    for network in ({"allow_out": ["example.com"]}, {"deny_out": ["10.0.0.0/8"]}):
        error = await failure(sdk.Sandbox.create, network=network)
        assert "Out" in str(error), error
    error = await failure(sdk.Sandbox.create, template="no-such-template")
    assert isinstance(error, Exception)
    assert "no-such-template" in str(error), error


async def check_a_wrong_key(sdk):
    key = "alc_aaaaaaaaaaaaaaaa_" + "A" * 43
    error = await failure(sdk.Sandbox.create, api_key=key)
    assert isinstance(error, sdk.e2b.AuthenticationException), repr(error)


async def check_a_port_through_its_host(sdk):
    """The name leads here only where a resolver knows it, so it goes as a header."""
    sandbox = await sdk.sandbox()
    port = int(os.environ["SPARE_PORT"]) + (1 if sdk.asynchronous else 0)
    command = f"cd /tmp && mkdir -p www-{port} && echo hello > www-{port}/x && cd www-{port} && "
    handle = await done(
        sandbox.commands.run(
            f"{command} exec python3 -m http.server {port} --bind 127.0.0.1", background=True
        )
    )
    host = sandbox.get_host(port)
    base = os.environ["E2B_API_URL"].removesuffix("/e2b")

    def ask(path, **headers):
        request = urllib.request.Request(f"{base}{path}", headers={"Host": host, **headers})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    shown = {"e2b-traffic-access-token": sandbox.traffic_access_token}
    await until(lambda: ask("/x", **shown) == (200, b"hello\n"))
    assert ask("/x")[0] == 401, "private unless it was asked for otherwise"
    await done(handle.kill())
    await until(lambda: ask("/x", **shown)[0] == 502)


async def check_a_port_that_was_opened_to_everybody(sdk):
    sandbox = await sdk.sandbox(network={"allow_public_traffic": True})
    port = int(os.environ["SPARE_PORT"]) + (3 if sdk.asynchronous else 2)
    handle = await done(
        sandbox.commands.run(
            f"exec python3 -m http.server {port} --bind 127.0.0.1", background=True
        )
    )
    base = os.environ["E2B_API_URL"].removesuffix("/e2b")

    def ask():
        request = urllib.request.Request(base, headers={"Host": sandbox.get_host(port)})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status
        except urllib.error.HTTPError as error:
            return error.code

    await until(lambda: ask() == 200)
    await done(handle.kill())
