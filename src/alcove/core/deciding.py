"""What the policies say to a workspace that is about to be made: the facts, and the answer."""

from dataclasses import replace

from alcove import policies
from alcove.config import Settings
from alcove.drivers.base import Capabilities
from alcove.model.access import Actor, Permission
from alcove.model.template import Recipe
from alcove.model.workspace import Isolation, strength
from alcove.policies.isolation_default import default
from alcove.policies.verdict import Facts
from alcove.recipes.render import Rendered


def decided(
    actor: Actor,
    recipe: Recipe,
    made: Rendered,
    *,
    asked: Isolation | None,
    settings: Settings,
    capabilities: Capabilities,
) -> Rendered:
    """What was rendered, as it may be. `asked`: the isolation of the request. Raises Denied."""
    facts = _facts(recipe, asked, settings, capabilities)
    spec = policies.decide(actor, Permission.WORKSPACE_CREATE, made.spec, facts)
    return made if spec is made.spec else replace(made, spec=spec)


def default_isolation(
    recipe: Recipe, *, settings: Settings, capabilities: Capabilities
) -> Isolation:
    """What a workspace of this template gets here that asks for no isolation."""
    facts = _facts(recipe, None, settings, capabilities)
    found = default(recipe.isolation, facts)
    return max(found, facts.isolation_min, key=strength)


def _facts(
    recipe: Recipe, asked: Isolation | None, settings: Settings, capabilities: Capabilities
) -> Facts:
    return Facts(
        isolation_asked=asked,
        isolation_of_template=recipe.isolation if recipe.isolation_given else None,
        isolation_min_of_template=recipe.isolation_min,
        isolation_min=Isolation(settings.isolation_min),
        isolation_offered=capabilities.isolation,
    )
