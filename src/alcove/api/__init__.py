"""The REST API: one route file per resource, with handlers that parse, call a verb, and answer."""
