"""Policies: one file each, pure, asked in the order of `ALL`. The first denial is the answer;
what one amends is what the next one sees."""

from typing import Final

from alcove.model.access import Actor, Permission
from alcove.model.errors import Denied
from alcove.model.workspace import Spec
from alcove.policies.isolation_default import isolation_default
from alcove.policies.isolation_min import isolation_min
from alcove.policies.verdict import Amend, Deny, Facts, Policy

ALL: Final[tuple[Policy, ...]] = (isolation_default, isolation_min)


def decide(actor: Actor, action: Permission, spec: Spec, facts: Facts) -> Spec:
    """The Spec as it may be. Raises Denied with the first policy's reason."""
    for policy in ALL:
        verdict = policy(actor, action, spec, facts)
        if isinstance(verdict, Deny):
            raise Denied(verdict.reason)
        if isinstance(verdict, Amend):
            spec = verdict.spec
    return spec
