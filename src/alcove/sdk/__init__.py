"""The client library: `from alcove import Alcove, AsyncAlcove`.

Everything public is named here and imported when it is asked for, so that `alcove --version`
and programs that only want an error class do not load an HTTP client.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from alcove.sdk.errors import (
    AlcoveError,
    BudgetExhausted,
    CommandFailed,
    Conflict,
    Denied,
    FieldError,
    Invalid,
    NotFound,
    QuotaExceeded,
    RateLimited,
    SnapshotFailed,
    Unauthenticated,
    Unavailable,
    Unsupported,
    WaitTimeout,
    WorkspaceFailed,
)

if TYPE_CHECKING:
    from alcove.sdk._async.client import AsyncAlcove
    from alcove.sdk._async.devices import AsyncDeviceSignIn
    from alcove.sdk._async.execs import AsyncProcess
    from alcove.sdk._async.processes import AsyncBackgroundProcess
    from alcove.sdk._async.sandboxes import AsyncSandbox
    from alcove.sdk._async.workspace import AsyncWorkspace
    from alcove.sdk._sync.client import Alcove
    from alcove.sdk._sync.devices import DeviceSignIn
    from alcove.sdk._sync.execs import Process
    from alcove.sdk._sync.processes import BackgroundProcess
    from alcove.sdk._sync.sandboxes import Sandbox
    from alcove.sdk._sync.workspace import Workspace
    from alcove.sdk.archive import Transfer
    from alcove.sdk.changes import NEVER
    from alcove.sdk.execs import ExecResult, Exit, Output, Stream, Terminal
    from alcove.sdk.waiting import Goal

__all__ = [
    "NEVER",
    "Alcove",
    "AlcoveError",
    "AsyncAlcove",
    "AsyncBackgroundProcess",
    "AsyncDeviceSignIn",
    "AsyncProcess",
    "AsyncSandbox",
    "AsyncWorkspace",
    "BackgroundProcess",
    "BudgetExhausted",
    "CommandFailed",
    "Conflict",
    "Denied",
    "DeviceSignIn",
    "ExecResult",
    "Exit",
    "FieldError",
    "Goal",
    "Invalid",
    "NotFound",
    "Output",
    "Process",
    "QuotaExceeded",
    "RateLimited",
    "Sandbox",
    "SnapshotFailed",
    "Stream",
    "Terminal",
    "Transfer",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "WaitTimeout",
    "Workspace",
    "WorkspaceFailed",
]

_HOMES = {
    "Sandbox": "_sync.sandboxes",
    "BackgroundProcess": "_sync.processes",
    "AsyncSandbox": "_async.sandboxes",
    "AsyncBackgroundProcess": "_async.processes",
    "NEVER": "changes",
    "Alcove": "_sync.client",
    "AsyncAlcove": "_async.client",
    "AsyncDeviceSignIn": "_async.devices",
    "AsyncProcess": "_async.execs",
    "DeviceSignIn": "_sync.devices",
    "AsyncWorkspace": "_async.workspace",
    "ExecResult": "execs",
    "Exit": "execs",
    "Goal": "waiting",
    "Output": "execs",
    "Process": "_sync.execs",
    "Stream": "execs",
    "Terminal": "execs",
    "Transfer": "archive",
    "Workspace": "_sync.workspace",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"alcove.sdk.{_HOMES[name]}"), name)
