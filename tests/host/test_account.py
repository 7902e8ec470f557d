"""The workspace's user is settled from what an image says, whatever it says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.host.account import is_home, settle
from alcove.model.errors import DriverError
from alcove.model.workspace import RootMode

PASSWD = b"root:x:0:0:root:/root:/bin/bash\nnode:x:1000:1000::/home/node:/bin/sh\n"


def test_a_user_of_the_image_is_taken_as_it_is() -> None:
    account = settle("node", passwd=PASSWD, group=b"node:x:1000:\n", root=RootMode.NONE)
    assert (account.uid, account.gid, account.home) == (1000, 1000, "/home/node")
    assert account.passwd == PASSWD


def test_a_missing_user_is_added_with_id_1000() -> None:
    account = settle("dev", passwd=None, group=None, root=RootMode.NONE)
    assert account.passwd.startswith(b"dev:x:1000:1000::/home/dev:")
    assert b"dev:x:1000:\n" in account.group


def test_a_missing_user_comes_before_another_of_the_same_id() -> None:
    account = settle("dev", passwd=PASSWD, group=b"node:x:1000:\n", root=RootMode.NONE)
    assert account.passwd.splitlines()[0].startswith(b"dev:x:1000:")
    assert account.group == b"node:x:1000:\n"


def test_root_needs_root_contained() -> None:
    with pytest.raises(DriverError, match="root: contained"):
        settle("root", passwd=PASSWD, group=None, root=RootMode.NONE)
    account = settle("root", passwd=PASSWD, group=None, root=RootMode.CONTAINED)
    assert (account.uid, account.home) == (0, "/root")


@pytest.mark.parametrize(
    "home",
    ["/", "/etc", "/proc/1", "/usr/share/x", "relative", "/home/../etc", "/nonexistent",
     "/home/a b", "/.alcove", "/.hidden", ""],
)  # fmt: skip
def test_a_home_where_none_belongs_is_moved(home: str) -> None:
    passwd = f"app:x:999:999::{home}:/bin/sh\n".encode()
    account = settle("app", passwd=passwd, group=None, root=RootMode.NONE)
    assert account.home == "/home/app"
    assert account.passwd == b"app:x:999:999::/home/app:/bin/sh\n"


def test_an_id_beyond_the_range_is_refused() -> None:
    passwd = b"app:x:70000:70000::/home/app:/bin/sh\n"
    with pytest.raises(DriverError, match="over 65535"):
        settle("app", passwd=passwd, group=None, root=RootMode.NONE)


@given(st.binary(max_size=300), st.binary(max_size=100))
def test_any_passwd_gives_a_user_or_a_reason(passwd: bytes, group: bytes) -> None:
    try:
        account = settle("dev", passwd=passwd, group=group, root=RootMode.NONE)
    except DriverError:
        return
    assert is_home(account.home)
    assert 0 < account.uid < 65536


@given(st.text(max_size=80))
def test_a_home_is_never_above_or_in_what_is_the_hosts(path: str) -> None:
    if is_home(path):
        assert path.startswith("/")
        assert ".." not in path.split("/")
        assert path.split("/")[1] not in {"proc", "sys", "dev", "etc", "usr", ".alcove"}
