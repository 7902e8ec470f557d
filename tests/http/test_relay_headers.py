"""What an app is told, and what it may say. Tables, without a network."""

from typing import Any

import pytest

from alcove.http.context import Context, set_context
from alcove.http.relay_headers import Inward, cookies_without, host_only, inward, outward

TOKEN = b"alc_" + b"a" * 16 + b"_" + b"B" * 43
SESSION = b"als_" + b"a" * 16 + b"_" + b"B" * 43


def told(*headers: tuple[bytes, bytes], **how: Any) -> list[tuple[bytes, bytes]]:
    scope: dict[str, Any] = {"type": "http", "headers": list(headers)}
    set_context(scope, Context(request_id="r", address="192.0.2.7", secure=True))
    return list(inward(scope, Inward(host=b"localhost:8000", **how)))


@pytest.mark.parametrize(
    "header",
    [
        (b"connection", b"keep-alive"),
        (b"transfer-encoding", b"chunked"),
        (b"te", b"trailers"),
        (b"proxy-authorization", b"Basic YTpi"),
        (b"X-Alcove-Control", b"key"),
        (b"x-alcove-process", b"e30="),
        (b"e2b-sandbox-id", b"ws-x"),
        (b"forwarded", b"for=6.6.6.6"),
        (b"x-real-ip", b"6.6.6.6"),
        (b"authorization", b"Bearer " + TOKEN),
        (b"x-api-key", TOKEN),
        (b"x-anything", b"prefix " + SESSION),
        (b"cookie", b"alcove_session=" + SESSION),
        (b"cookie", b"__Host-alcove_session=whatever"),
        (b"cookie", b"__Host-alcove_app=whatever; alcove_enter=1"),
        (b"sec-websocket-key", b"x"),
    ],
)
def test_what_is_ours_or_the_connections_stays_outside(header: tuple[bytes, bytes]) -> None:
    names = [name for name, _ in told(header)]
    assert header[0].lower() not in names


def test_what_is_the_apps_goes_in() -> None:
    mine = [
        (b"authorization", b"Basic YTpi"),
        (b"cookie", b"theme=dark; sid=1"),
        (b"origin", b"https://a.example"),
        (b"x-mine", b"1"),
    ]
    found = told(*mine)
    assert [header for header in mine if header in found] == mine


def test_a_header_named_by_connection_is_the_connections() -> None:
    found = told((b"connection", b"close, X-Secret"), (b"x-secret", b"1"), (b"x-other", b"2"))
    assert (b"x-secret", b"1") not in found
    assert (b"x-other", b"2") in found


def test_the_caller_names_what_else_stays_outside() -> None:
    found = told((b"X-Access-Token", b"t"), strip=frozenset({b"x-access-token"}))
    assert not [value for _, value in found if value == b"t"]


def test_where_a_request_comes_from_is_what_we_saw() -> None:
    found = told(
        (b"host", b"app.example"),
        (b"x-forwarded-for", b"6.6.6.6"),
        (b"x-forwarded-proto", b"gopher"),
        (b"x-forwarded-host", b"evil.example"),
        prefix="/apps/t",
    )
    assert [value for name, value in found if name == b"x-forwarded-for"] == [b"192.0.2.7"]
    assert [value for name, value in found if name == b"x-forwarded-proto"] == [b"https"]
    assert [value for name, value in found if name == b"x-forwarded-host"] == [b"app.example"]
    assert [value for name, value in found if name == b"x-forwarded-prefix"] == [b"/apps/t"]
    assert [value for name, value in found if name == b"host"] == [b"localhost:8000"]


def test_without_cookies_none_go_in() -> None:
    assert not [n for n, _ in told((b"cookie", b"sid=1"), cookies=False) if n == b"cookie"]


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (b"a=1; alcove_session=x; b=2", b"a=1; b=2"),
        (b" alcove_session =x;a=1", b"a=1"),
        (b"alcove_session", b""),
        (b"a=" + SESSION + b"; b=2", b"b=2"),
        (b"a=alcove_session", b"a=alcove_session"),
    ],
)
def test_our_cookies_are_taken_out_of_the_others(value: bytes, left: bytes) -> None:
    assert cookies_without(value, {"alcove_session"}) == left


@pytest.mark.parametrize(
    ("value", "bounded"),
    [
        (b"sid=1; Domain=example.com; Path=/", b"sid=1; Path=/"),
        (b"sid=1; path=/;DOMAIN =.example.com", b"sid=1; path=/"),
        (b"sid=1; HttpOnly; SameSite=Lax", b"sid=1; HttpOnly; SameSite=Lax"),
        (b"alcove_session=x; Path=/", None),
        (b" ALCOVE_session =x", None),
        (b"__Host-alcove_session=x; Secure; Path=/", None),
        (b"__host-alcove_app=x; Secure; Path=/", None),
    ],
)
def test_a_cookie_is_for_the_apps_own_host_and_never_ours(
    value: bytes, bounded: bytes | None
) -> None:
    assert host_only(value) == bounded


@pytest.mark.parametrize(
    "name", ["Clear-Site-Data", "Alt-Svc", "Connection", "Keep-Alive", "Transfer-Encoding", "NEL"]
)
def test_an_app_says_nothing_about_more_than_itself(name: str) -> None:
    assert outward([(name.encode(), b'"*"'), (b"X-Mine", b"1")]) == [(b"x-mine", b"1")]


def test_where_cookies_are_not_the_apps_none_are_set() -> None:
    assert outward([(b"set-cookie", b"a=1")], set_cookies=False) == []


def test_an_answer_has_a_bounded_number_of_headers() -> None:
    assert len(outward([(b"x-%d" % n, b"1") for n in range(5000)])) == 100
