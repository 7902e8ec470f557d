"""The runtimes: what is executed to start, checkpoint, restore and end a workspace."""

from alcove.host.runtime.base import Runtime
from alcove.host.runtime.process import (
    Process,
    exit_status,
    find,
    kernel_boot,
    lives,
    terminate,
)
from alcove.host.runtime.runc import Runc
from alcove.host.runtime.runsc import AGENT_NAME, Runsc

__all__ = [
    "AGENT_NAME",
    "Process",
    "Runc",
    "Runsc",
    "Runtime",
    "exit_status",
    "find",
    "kernel_boot",
    "lives",
    "terminate",
]
