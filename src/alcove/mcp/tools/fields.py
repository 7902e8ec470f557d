"""Arguments that several tools take, described once."""

from typing import Annotated, TypeAlias

from pydantic import Field, StringConstraints

from alcove.wire.base import Path, Reference

Sandbox: TypeAlias = Annotated[
    Reference, Field(description="Id or name of the sandbox, as create_sandbox answered it.")
]
FilePath: TypeAlias = Annotated[
    Path, Field(description="Absolute, or relative to the home directory; ~ is the home.")
]
Directory: TypeAlias = Annotated[
    Path, Field(description="Where it starts: absolute, or relative to the home directory.")
]
Line: TypeAlias = Annotated[
    str,
    StringConstraints(min_length=1, max_length=65536, pattern=r"^[^\x00]+$"),
    Field(description="A line of shell; pipes, && and redirections work."),
]
Tag: TypeAlias = Annotated[
    str,
    StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$"),
    Field(description="The name that start_background answered."),
]
