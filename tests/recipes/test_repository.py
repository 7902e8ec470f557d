"""Which repositories may be cloned, under which branch, and where to."""

import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcove.recipes.repository import check_branch, directory, normalise


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://github.com/org/x.git", "https://github.com/org/x.git"),
        ("github.com/org/x", "https://github.com/org/x"),
        ("GitHub.com/Org/X/", "https://github.com/Org/X"),
        ("http://127.0.0.1:8080/x.git", "http://127.0.0.1:8080/x.git"),
        ("HTTPS://example.com/x", "https://example.com/x"),
        ("localhost:8080/x", "https://localhost:8080/x"),
        ("http://git/x", "http://git/x"),
        ("https://[::1]:8080/x", "https://[::1]:8080/x"),
        ("https://example.com/~me/x%20y", "https://example.com/~me/x%20y"),
        ("https://example.com/scm/@scope/x", "https://example.com/scm/@scope/x"),
    ],
)
def test_an_address_is_brought_into_one_form(text: str, url: str) -> None:
    assert normalise(text) == url
    assert normalise(url) == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("https://ada:hunter2@example.com/x", "has a user name or password"),
        ("https://ghp_hunter2@example.com/x", "has a user name or password"),
        ("https://@example.com/x", "has a user name or password"),
        ("https://example.com/x?token=hunter2", "has a query or fragment"),
        ("https://example.com/x#main", "has a query or fragment"),
        ("ext::sh -c id", "has the character ' '"),
        ("ext::sh%20-c%20id", "names a remote helper"),
        ("::x/y.z", "names a remote helper"),
        ("file:///etc", "file:// addresses are not cloned"),
        ("git://example.com/x", "git:// addresses are not cloned"),
        ("ftp://example.com/x", "ftp:// addresses are not cloned"),
        ("ssh://git@example.com/x", "SSH addresses need a key"),
        ("git+ssh://example.com/x", "SSH addresses need a key"),
        ("git@github.com:org/x.git", "SSH addresses need a key"),
        ("github.com:org/x", "SSH addresses need a key"),
        ("--upload-pack=touch", "begins with a dash"),
        ("-oProxyCommand=x", "begins with a dash"),
        ("/srv/git/x", "is a local path"),
        ("./x", "is a local path"),
        ("../x", "is a local path"),
        ("~/x", "is a local path"),
        ("org/x", "names no host"),
        ("x", "names no host"),
        ("https://github.com", "names a host and no repository"),
        ("https://github.com//", "names a host and no repository"),
        ("github.com", "names a host and no repository"),
        ("https:///x", "does not name a host"),
        ("https://a..b/x", "'a..b' is not the name of a host"),
        ("https://-a.com/x", "'-a.com' is not the name of a host"),
        ("https://a_.com:80:90/x", "does not name a host"),
        ("https://a.com:0/x", "0 is not a port"),
        ("https://a.com:70000/x", "70000 is not a port"),
        ("https://[::g]/x", "does not name a host"),
        ("https://[1:2]/x", "is not an IPv6 address"),
        ("https://a.com/../x", "has . or .. in its path"),
        ("https://a.com/x/%2e%2e/y", "has . or .. in its path"),
        ("https://a.com/x%0ahost=evil", "has a control character in its path"),
        ("https://a.com/x%00", "has a control character in its path"),
        ("https://a.com/x y", "has the character ' '"),
        ("https://a.com/x\n", "has the character '\\\\n'"),
        ("https://a.com/x\x00", "has the character"),
        ("https://a.com\\@evil.com/x", "has the character"),
        ("https://ä.com/x", "has the character 'ä'"),
        ("https://a.com/" + "x" * 2048, "has 2062 characters"),
    ],
)
def test_an_address_that_is_not_plain_http_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as refused:
        normalise(text)
    assert "hunter2" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://github.com/org/x.git", "x"),
        ("https://github.com/org/.ssh", "ssh"),
        ("https://github.com/org/.git", "repository"),
        ("https://github.com/org/a%20b%2fc", "a-b-c"),
        ("https://github.com/org/%2e%2e%2f.bashrc", "bashrc"),
        ("https://github.com/org/-rf", "rf"),
        ("https://github.com/org/" + "a" * 200, "a" * 64),
        ("https://github.com/org/...", "repository"),
    ],
)
def test_a_clone_goes_to_a_plain_visible_name(url: str, name: str) -> None:
    assert directory(url) == name


BRANCHES = [
    "main",
    "feature/x",
    "a.b",
    "a@b",
    "ä",
    "@",
    "HEAD",
    "-a",
    "a..b",
    ".a",
    "a/.b",
    "a.lock",
    "a.lock/b",
    "a/",
    "/a",
    "a//b",
    "a.",
    "a b",
    "a~b",
    "a^b",
    "a:b",
    "a?b",
    "a*b",
    "a[b",
    "a\\b",
    "a@{b",
    "a\x7fb",
    "a\tb",
    "{-",
    "",
]


def git_takes(name: str) -> bool:
    found = subprocess.run(
        ["git", "check-ref-format", f"refs/heads/{name}"], check=False, capture_output=True
    )
    return found.returncode == 0


def taken(name: str) -> bool:
    try:
        return check_branch(name) == name
    except ValueError:
        return False


@pytest.mark.parametrize("name", BRANCHES)
def test_a_branch_is_taken_when_git_takes_it(name: str) -> None:
    # Git itself lets these exist as refs, and cannot name them on its command line.
    unnamable = name in ("@", "HEAD") or name.startswith("-")
    assert taken(name) == (git_takes(name) and not unnamable)


@given(st.text("ab./@{~^:?*[\\ -\x01\x7flock", max_size=8))
def test_no_branch_is_taken_that_git_refuses(name: str) -> None:
    if taken(name):
        assert git_takes(name)


def test_a_full_ref_is_taken_as_its_branch() -> None:
    assert check_branch("refs/heads/main") == "main"


def test_a_branch_of_excessive_length_is_refused() -> None:
    with pytest.raises(ValueError, match="is longer than 200 bytes"):
        check_branch("ä" * 101)


@given(st.text())
def test_an_address_taken_once_is_taken_again_as_it_is(text: str) -> None:
    try:
        url = normalise(text)
    except ValueError:
        return
    assert normalise(url) == url
    assert url.startswith(("http://", "https://"))


@given(st.text())
def test_a_directory_is_never_a_path(text: str) -> None:
    name = directory(text)
    assert "/" not in name
    assert not name.startswith((".", "-"))
    assert 0 < len(name) <= 64


@given(st.text())
def test_no_branch_makes_it_raise_otherwise(text: str) -> None:
    taken(text)
