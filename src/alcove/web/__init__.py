"""Server-rendered pages: sign in, workspaces, the catalog. No JavaScript.

A small first set; every page calls the same verbs as the API.
"""
