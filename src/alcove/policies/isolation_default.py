"""Where neither request nor template says an isolation, this installation decides.

Agents run what nobody has read, so that theirs is `gvisor` where the driver has it; the Spec
comes with that wish. Where it is not to be had they get `container`, unless a minimum forbids it.
"""

from dataclasses import replace

from alcove.model.access import Actor, Permission
from alcove.model.workspace import Isolation, Spec, strength
from alcove.policies.verdict import ALLOW, Amend, Facts, Verdict


def isolation_default(_actor: Actor, _action: Permission, spec: Spec, facts: Facts) -> Verdict:
    found = default(spec.isolation, facts)
    return ALLOW if found is spec.isolation else Amend(replace(spec, isolation=found))


def default(rendered: Isolation, facts: Facts) -> Isolation:
    """What the wish comes to here."""
    said = facts.isolation_asked or facts.isolation_of_template
    if said is not None or rendered in facts.isolation_offered:
        return rendered
    for least in (facts.isolation_min, facts.isolation_min_of_template):
        if least is not None and strength(least) > strength(Isolation.CONTAINER):
            return rendered
    return Isolation.CONTAINER
