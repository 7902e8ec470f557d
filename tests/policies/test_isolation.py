"""Which isolation a workspace gets, as a table: who said what, and what comes of it."""

from dataclasses import replace

import pytest

from alcove import policies
from alcove.model.access import Actor, Permission, Role
from alcove.model.errors import Denied
from alcove.model.workspace import Isolation, UserId
from alcove.policies.verdict import Facts
from tests.model.test_lifecycle import SPEC

ADA = Actor(id=UserId("u-ada"), name="ada", role=Role.MEMBER)
C, G, V = Isolation.CONTAINER, Isolation.GVISOR, Isolation.MICROVM
FACTS = Facts(None, None, None, C, frozenset({C, G}))


def outcome(isolation: Isolation, **facts: object) -> Isolation:
    spec = replace(SPEC, isolation=isolation)
    known = replace(FACTS, **facts)  # pyright: ignore[reportArgumentType]
    return policies.decide(ADA, Permission.WORKSPACE_CREATE, spec, known).isolation


@pytest.mark.parametrize(
    ("rendered", "facts", "gets"),
    [
        (G, {}, G),
        (G, {"isolation_offered": frozenset({C})}, C),
        (G, {"isolation_offered": frozenset({C}), "isolation_of_template": G}, G),
        (G, {"isolation_offered": frozenset({C}), "isolation_asked": G}, G),
        (G, {"isolation_offered": frozenset({C}), "isolation_min": G}, G),
        (G, {"isolation_offered": frozenset({C}), "isolation_min_of_template": G}, G),
        (C, {"isolation_of_template": C}, C),
        (C, {"isolation_of_template": C, "isolation_min": G}, G),
        (C, {"isolation_min": V}, V),
        (C, {"isolation_asked": C, "isolation_of_template": G, "isolation_min_of_template": C}, C),
        (V, {"isolation_asked": V, "isolation_of_template": C}, V),
    ],
)
def test_what_a_workspace_gets(
    rendered: Isolation, facts: dict[str, object], gets: Isolation
) -> None:
    assert outcome(rendered, **facts) is gets


@pytest.mark.parametrize(
    ("facts", "why"),
    [
        ({"isolation_of_template": G}, "weaker than gvisor, the least of the template"),
        ({"isolation_min_of_template": V}, "weaker than microvm, the least of the template"),
        ({"isolation_min": G}, "weaker than gvisor, the least on this server"),
    ],
)
def test_asking_for_less_is_denied_with_the_least(facts: dict[str, object], why: str) -> None:
    with pytest.raises(Denied, match=why):
        outcome(C, isolation_asked=C, **facts)
