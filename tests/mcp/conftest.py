from tests.api.conftest import api, migrated, sqlite

__all__ = ["api", "migrated", "sqlite"]
