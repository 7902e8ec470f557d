"""E2B's API and its way into sandboxes, for its clients as they are. See `docs/agents/e2b.md`."""

from alcove.api.compat.e2b.app import PREFIX, E2b

__all__ = ["PREFIX", "E2b"]
