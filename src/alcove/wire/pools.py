"""Pools: workspaces that are started before somebody asks for them."""

from typing import Annotated, Final

from pydantic import ConfigDict, Field, StringConstraints, model_validator

from alcove.model.pool import REFILL_MAX, SIZE_MAX, WINDOWS_MAX, PoolMode
from alcove.model.workspace import Isolation
from alcove.wire.base import Answer, Line, Request

_TIME: Final = r"^([01][0-9]|2[0-3]):[0-5][0-9]$"
_DAY: Final = "(mon|tue|wed|thu|fri|sat|sun)"


class NewWindow(Request):
    """A time of the week with another least size; `to` not later than `from` is on the next
    day."""

    model_config = ConfigDict(serialize_by_alias=True)

    days: Annotated[
        str, StringConstraints(max_length=40, pattern=rf"^(daily|{_DAY}([-,]{_DAY})*)$")
    ] = "daily"
    from_: Annotated[str, StringConstraints(pattern=_TIME), Field(alias="from")]
    to: Annotated[str, StringConstraints(pattern=_TIME)]
    min: Annotated[int, Field(ge=0, le=SIZE_MAX)]


class NewPool(Request):
    """What a pool is to keep. `size` always, or between `min` and `max` after the demand."""

    isolation: Isolation | None = None
    """Default: the template's own."""
    size: Annotated[int, Field(ge=0, le=SIZE_MAX)] | None = None
    min: Annotated[int, Field(ge=0, le=SIZE_MAX)] | None = None
    max: Annotated[int, Field(ge=0, le=SIZE_MAX)] | None = None
    mode: PoolMode | None = None
    """Default: `adaptive` where `max` is over `min`."""
    schedule: Annotated[list[NewWindow], Field(max_length=WINDOWS_MAX)] = Field(
        default_factory=list[NewWindow]
    )
    zone: Annotated[Line, StringConstraints(max_length=64)] = "UTC"
    """Of the schedule's times, such as Europe/Paris."""
    refill_per_second: Annotated[float, Field(ge=0.1, le=REFILL_MAX)] | None = None

    @model_validator(mode="after")
    def _size_or_bounds(self) -> "NewPool":
        bounds = (self.min, self.max, self.mode)
        if self.size is None and self.max is None:
            raise ValueError("size: give size, or min and max")
        if self.size is not None and any(bound is not None for bound in bounds):
            raise ValueError("size: give size, or min and max, not both")
        return self


class PoolWindow(Answer):
    model_config = ConfigDict(serialize_by_alias=True)

    days: str
    from_: Annotated[str, Field(alias="from")]
    to: str
    min: int


class PoolHour(Answer):
    """Of the last hour."""

    claimed: int
    missed: int
    """Started cold because the pool was empty."""


class Pool(Answer):
    """`wanted` is what it is to have now; `why` says why `ready` is less."""

    template: str
    version: int
    isolation: Isolation
    mode: PoolMode
    min: int
    max: int
    schedule: list[PoolWindow]
    zone: str
    refill_per_second: float
    set_by: str
    """`template`, or `operator` where somebody set it."""
    wanted: int
    ready: int
    starting: int
    failed: int
    draining: int
    """Members of other versions of the template, on their way out."""
    why: str
    last_hour: PoolHour
