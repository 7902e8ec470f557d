"""The source of the client. `tools/async_to_sync.py` makes `alcove.sdk._sync` from it."""
