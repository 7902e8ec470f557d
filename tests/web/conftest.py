"""The pages are tried over the same world as the API."""

from tests.api.conftest import api, migrated, sqlite

__all__ = ["api", "migrated", "sqlite"]
