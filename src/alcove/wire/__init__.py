"""The public API's requests and answers: one file per resource, and nothing but shapes.

Requests forbid what they do not know, so that a misspelt field is an error and not a silent
default. Answers ignore what they do not know, so that an older client reads a newer server.
"""
