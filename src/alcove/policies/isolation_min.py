"""Nobody gets a weaker isolation than the template and the operator allow.

Asking for less is denied, with the least that is allowed. Where nothing was asked for, the
operator's minimum lifts what the template says.
"""

from dataclasses import replace

from alcove.model.access import Actor, Permission
from alcove.model.workspace import Spec, strength
from alcove.policies.verdict import ALLOW, Amend, Deny, Facts, Verdict


def isolation_min(_actor: Actor, _action: Permission, spec: Spec, facts: Facts) -> Verdict:
    least = facts.isolation_min_of_template or facts.isolation_of_template
    asked = facts.isolation_asked
    if asked is not None:
        if least is not None and strength(asked) < strength(least):
            return Deny(f"isolation: {asked} is weaker than {least}, the least of the template")
        if strength(asked) < strength(facts.isolation_min):
            return Deny(
                f"isolation: {asked} is weaker than {facts.isolation_min}, the least on this "
                "server; ask for that, or for none"
            )
    if strength(spec.isolation) < strength(facts.isolation_min):
        return Amend(replace(spec, isolation=facts.isolation_min))
    return ALLOW
