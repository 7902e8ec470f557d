#!/bin/sh
# Puts the task where people and agents look for it.
set -eu
if [ -n "${ALCOVE_PARAMETER_TASK:-}" ]; then
    printf '%s\n' "$ALCOVE_PARAMETER_TASK" > "$HOME/TASK.md"
fi
