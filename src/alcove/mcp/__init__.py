"""MCP at `/mcp`: sandboxes as tools for agents. Thin; every rule is in `core`."""
