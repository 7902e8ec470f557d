"""Runs the checks of a module with a client of E2B's as it is, in a Python that has nothing else.

`python common.py <module> <sync|async>` prints one line of JSON for each check. Each is written
once for both kinds of client: what a call answers goes through `done`.
"""

import asyncio
import importlib
import inspect
import json
import sys
import time
import traceback


async def done(value):
    """What a call came to, of the client with or without `await`."""
    return await value if inspect.isawaitable(value) else value


async def failure(call, *args, **kwargs):
    """The error that a call ends with."""
    try:
        await done(call(*args, **kwargs))
    except Exception as error:
        return error
    raise AssertionError(f"{call} did not fail")


async def until(look, *, seconds=15.0):
    """What `look` answers as soon as that is true."""
    end = time.monotonic() + seconds
    while True:
        found = await done(look())
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError("it did not come about")
        await asyncio.sleep(0.05)


async def every(paginator):
    """All items of all pages."""
    found = []
    while paginator.has_next:
        found += await done(paginator.next_items())
    return found


class Sdk:
    """The client under test. Sandboxes that a check makes are ended after it."""

    def __init__(self, kind):
        import e2b

        self.asynchronous = kind == "async"
        self.Sandbox = e2b.AsyncSandbox if self.asynchronous else e2b.Sandbox
        self.e2b = e2b
        self.made = []

    async def sandbox(self, **asked):
        made = await done(self.Sandbox.create(**{"timeout": 300, **asked}))
        self.made.append(made)
        return made

    def has(self, name):
        """Whether this release has a method."""
        return hasattr(self.Sandbox, name)

    async def pause(self, sandbox):
        return await done((sandbox.pause if self.has("pause") else sandbox.beta_pause)())

    async def tidy(self):
        for sandbox in self.made:
            await done(sandbox.kill())
        self.made = []


async def main(module, kind):
    checks = importlib.import_module(module)
    sdk = Sdk(kind)
    names = [name for name in vars(checks) if name.startswith("check_")]
    only = sys.argv[3:]
    for name in only or names:
        said = {"check": name, "error": None}
        try:
            await asyncio.wait_for(getattr(checks, name)(sdk), 60)
        except BaseException:
            said["error"] = traceback.format_exc()[-3000:]
        try:
            await asyncio.wait_for(sdk.tidy(), 30)
        except BaseException:
            said["error"] = (said["error"] or "") + traceback.format_exc()[-2000:]
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    sys.modules["common"] = sys.modules["__main__"]
    asyncio.run(main(sys.argv[1], sys.argv[2]))
