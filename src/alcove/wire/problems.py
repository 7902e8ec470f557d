"""Errors as RFC 9457 problems (`application/problem+json`)."""

from alcove.wire.base import Answer


class ProblemField(Answer):
    """One field at fault; the path is as the client wrote it: `parameters.cpu`."""

    field: str
    message: str


class Problem(Answer):
    """`code` is the stable word to act on; `detail` is a sentence for people."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str
    errors: list[ProblemField] | None = None
    request_id: str | None = None
