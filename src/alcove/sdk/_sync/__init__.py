"""Made from `alcove.sdk._async` by `tools/async_to_sync.py`; only `primitives.py` is by hand."""
