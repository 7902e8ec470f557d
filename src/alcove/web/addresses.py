"""Addresses of pages, with the filters that are set."""

from collections.abc import Mapping
from urllib.parse import urlencode


def filtered(base: str, filters: Mapping[str, object]) -> str:
    """`/audit?q=kill`: the page at `base`, with each filter that is neither empty nor zero."""
    query = urlencode({name: value for name, value in filters.items() if value})
    return f"{base}?{query}" if query else base
