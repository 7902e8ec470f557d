"""What a policy is: a pure function of who, what, to which Spec, and facts; and its answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from alcove.model.access import Actor, Permission
from alcove.model.workspace import Isolation, Spec


@dataclass(frozen=True, slots=True)
class Facts:
    """What policies may know beside the Spec. Looked up before, so that they stay pure."""

    isolation_asked: Isolation | None
    """What the request says; None when it leaves it open."""
    isolation_of_template: Isolation | None
    """None when the template leaves it open."""
    isolation_min_of_template: Isolation | None
    isolation_min: Isolation
    """The operator's, for everybody."""
    isolation_offered: frozenset[Isolation]
    """What the driver has here."""


@dataclass(frozen=True, slots=True)
class Allow:
    """Nothing against it."""


@dataclass(frozen=True, slots=True)
class Deny:
    reason: str
    """A sentence for whoever asked: what is not allowed, by whom, and what is."""


@dataclass(frozen=True, slots=True)
class Amend:
    """Allowed as this Spec instead. Never less safe than what was asked for."""

    spec: Spec


Verdict: TypeAlias = Allow | Deny | Amend
Policy: TypeAlias = Callable[[Actor, Permission, Spec, Facts], Verdict]
"""(who, does what, to this, given these facts)."""
ALLOW = Allow()
