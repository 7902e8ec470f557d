"""The REST API: one route file per resource, with handlers that parse, call a verb, and answer.

`edge` wraps everything, `access` tells who is calling, `problem` turns errors into answers.
"""
