"""`alcove completion SHELL`: the script that a shell reads to complete our commands."""

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import (
    get_completion_script,  # pyright: ignore[reportPrivateImportUsage] - no other way to it
)


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


def completion(
    shell: Annotated[Shell, typer.Argument(help="Which shell it is for.")],
) -> None:
    """Print the completion script of a shell.

    For bash: `alcove completion bash > ~/.local/share/bash-completion/completions/alcove`
    """
    typer.echo(
        get_completion_script(
            prog_name="alcove", complete_var="_ALCOVE_COMPLETE", shell=shell.value
        )
    )
