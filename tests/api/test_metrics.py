"""Metrics: well named, few in number, and not for strangers."""

import re

from prometheus_client.parser import text_string_to_metric_families

from alcove.model.errors import DriverError
from tests.api.served import ADA, ROOT, Served


async def families(api: Served) -> dict[str, str]:
    text = (await api.bare().get("/metrics")).text
    found = text_string_to_metric_families(text)
    # The client library adds these gauges by itself; the server turns them off.
    return {f.name: f.type for f in found if not f.name.endswith("_created")}


async def test_names_follow_the_conventions(api: Served) -> None:
    await (await api.client()).get("/api/v2/workspaces")
    for name, kind in (await families(api)).items():
        assert re.fullmatch(r"alcove_[a-z][a-z0-9_]*", name), name
        assert not name.endswith(("_count", "_sum", "_bucket")), name
        assert "_milliseconds" not in name, name
        if kind == "histogram":
            assert name.endswith(("_seconds", "_bytes")), name
        if kind == "gauge":
            assert not name.endswith("_total"), name


async def test_every_metric_has_a_help_text(api: Served) -> None:
    text = (await api.bare().get("/metrics")).text
    for name in await families(api):
        assert re.search(rf"^# HELP {name}(_total)? \S", text, re.MULTILINE), name


async def test_workspaces_are_counted_by_phase(api: Served) -> None:
    await api.workspace(ADA)
    text = (await api.bare().get("/metrics")).text
    assert 'alcove_workspaces{phase="provisioning"} 1.0' in text
    assert 'alcove_workspaces{phase="running"} 0.0' in text


async def test_requests_are_counted_by_route_and_not_by_what_strangers_type(
    api: Served,
) -> None:
    for path in ("/a", "/b", "/api/v2/workspaces/x", "/api/v2/workspaces/y"):
        await api.bare().get(path)
    await api.bare().request("BREW", "/c")
    text = (await api.bare().get("/metrics")).text
    counted = re.findall(r'request_duration_seconds_count\{method="(.+?)",route="(.+?)"', text)
    assert sorted(set(counted)) == [
        ("GET", "(none)"),
        ("GET", "/api/v2/workspaces/{workspace}"),
        ("other", "(none)"),
    ]


async def test_strangers_do_not_read_them(api: Served) -> None:
    assert (await api.bare("192.0.2.1").get("/metrics")).status_code == 401
    forwarded = api.bare("127.0.0.1", **{"x-forwarded-for": "127.0.0.1"})
    assert (await forwarded.get("/metrics")).status_code == 401


async def test_a_token_that_may_read_the_server_reads_them_from_afar(api: Served) -> None:
    secret = await api.token(ROOT)
    afar = api.bare("192.0.2.1", authorization=f"Bearer {secret.text}")
    assert (await afar.get("/metrics")).status_code == 200


async def test_readiness_names_the_part_that_is_away(api: Served) -> None:
    async def away() -> object:
        raise DriverError("the host process does not answer", retry=True)

    assert (await api.bare().get("/readyz")).status_code == 200
    api.world.driver.capabilities = away  # pyright: ignore[reportAttributeAccessIssue]
    answer = await api.bare().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["driver"] == "the host process does not answer"
    assert answer.json()["checks"]["database"] == "ok"
