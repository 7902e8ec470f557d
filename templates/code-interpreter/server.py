"""Runs cells of code in Jupyter kernels and streams what they produce, one line of JSON each.

    POST /execute {code, context_id?, language?, env_vars?}   lines {"type": "stdout", …}
    GET, POST /contexts · DELETE /contexts/ID · POST /contexts/ID/restart · GET /health

A context is a kernel with its own state. Its cells run one after the other. A client that goes
away interrupts its cell. Only programs on this machine, and the control plane, reach the port.
"""

import asyncio
import json
import logging
import time
import uuid
from pathlib import Path

from jupyter_client.manager import AsyncKernelManager
from tornado.ioloop import IOLoop
from tornado.iostream import StreamClosedError
from tornado.web import Application, RequestHandler

PORT = 49999
BODY_MAX = 10 * 1024 * 1024
CONTEXTS_MAX = 16
TEXT_MAX = 8 * 1024 * 1024
"""Of one piece of output; what is longer is cut, and says so."""
READY_S = 60
HERE = Path(__file__).parent
LANGUAGES = {"python": "", "bash": "%%bash\n", "javascript": "%%script node\n"}
"""What stands before a cell. Only Python keeps state: the others run afresh each time."""
ALIASES = {"py": "python", "js": "javascript", "sh": "bash"}
FIELDS = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/json": "json",
    "application/javascript": "javascript",
    "application/vnd.alcove.data+json": "data",
    "application/vnd.alcove.chart+json": "chart",
}
log = logging.getLogger("code-interpreter")


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Context:
    """One kernel. `run` is a stream of the lines of one cell."""

    def __init__(self, language, cwd):
        self.id = str(uuid.uuid4())
        self.language = language
        self.cwd = cwd
        self.turn = asyncio.Lock()
        # Unix sockets, by absolute names: no port of the workspace's is taken.
        sockets = str(HERE / self.id[:8])
        self.manager = AsyncKernelManager(kernel_name="python3", transport="ipc", ip=sockets)
        self.client = None

    def described(self):
        return {"id": self.id, "language": self.language, "cwd": self.cwd}

    async def start(self):
        arguments = [
            f"--IPKernelApp.exec_files={json.dumps([str(HERE / 'kernel.py')])}",
            "--InteractiveShell.colors=NoColor",  # tracebacks are read by programs
        ]
        await self.manager.start_kernel(cwd=self.cwd, extra_arguments=arguments)
        await self.connect()

    async def connect(self):
        if self.client is not None:
            self.client.stop_channels()
        self.client = self.manager.client()
        self.client.start_channels()
        await self.client.wait_for_ready(timeout=READY_S)

    async def restart(self):
        await self.manager.restart_kernel(now=True)
        await self.connect()

    async def end(self):
        self.client.stop_channels()
        await self.manager.shutdown_kernel(now=True)

    async def run(self, code, environment):
        async with self.turn:
            if not await self.manager.is_alive():
                await self.restart()
            if environment:
                await self.quietly(f"__alcove_enter_env__({environment!r})")
            try:
                message = self.client.execute(
                    LANGUAGES[self.language] + code, stop_on_error=False
                )
                async for line in self.lines(message):
                    yield line
            finally:
                if environment:
                    await self.quietly("__alcove_leave_env__()")

    async def interrupt(self):
        await self.manager.interrupt_kernel()

    async def quietly(self, code):
        message = self.client.execute(code, silent=True, store_history=False)
        async for _ in self.lines(message):
            pass

    async def lines(self, message):
        """Until the kernel says that it is idle again after this message."""
        while True:
            try:
                told = await self.client.get_iopub_msg(timeout=1)
            except Exception:  # the library raises queue.Empty of another module by version
                if await self.manager.is_alive():
                    continue
                said = "the kernel ended: it may have run out of memory; its state is lost"
                yield {"type": "error", "name": "KernelDied", "value": said, "traceback": said}
                return
            if told["parent_header"].get("msg_id") != message:
                continue
            kind, content = told["header"]["msg_type"], told["content"]
            if kind == "status" and content["execution_state"] == "idle":
                return
            line = line_of(kind, content)
            if line is not None:
                yield line


def line_of(kind, content):
    """What a message of the kernel is on the wire; None for what is nobody's business."""
    if kind == "stream":
        now = time.time_ns() // 1000
        return {"type": content["name"], "text": cut(content["text"]), "timestamp": now}
    if kind in ("display_data", "execute_result"):
        return result_of(content, main=kind == "execute_result")
    if kind == "error":
        trace = "\n".join(content["traceback"])
        return {"type": "error", "name": content["ename"], "value": content["evalue"],
                "traceback": trace}  # fmt: skip
    if kind == "execute_input":
        return {"type": "number_of_executions", "execution_count": content["execution_count"]}
    return None


def result_of(content, *, main):
    line = {"type": "result", "is_main_result": main}
    extra = {}
    for mime, value in content["data"].items():
        if mime in FIELDS:
            line[FIELDS[mime]] = cut(value)
        else:
            extra[mime] = value
    if extra:
        line["extra"] = extra
    return line


def cut(value):
    if isinstance(value, str) and len(value) > TEXT_MAX:
        return value[:TEXT_MAX] + f"\n… {len(value) - TEXT_MAX} characters more were cut\n"
    return value


class Contexts:
    """All of them; the default one of a language is made when it is first asked for."""

    def __init__(self):
        self.all = {}
        self.default = {}
        self.making = asyncio.Lock()

    async def make(self, language, cwd):
        if language not in LANGUAGES:
            there = ", ".join(LANGUAGES)
            raise Refused(400, f"language {language!r} is not there; there are {there}")
        if len(self.all) >= CONTEXTS_MAX:
            raise Refused(409, f"there are {CONTEXTS_MAX} contexts already; remove one first")
        if not Path(cwd).is_dir():
            raise Refused(400, f"cwd: {cwd} is not a directory")
        made = Context(language, cwd)
        await made.start()
        self.all[made.id] = made
        return made

    async def of(self, language):
        async with self.making:
            found = self.default.get(language)
            if found is None or found.id not in self.all:
                found = self.default[language] = await self.make(language, str(Path.home()))
            return found

    def get(self, id):
        if id not in self.all:
            raise Refused(404, f"there is no context {id}")
        return self.all[id]

    async def remove(self, id):
        found = self.get(id)
        del self.all[id]
        await found.end()


class Handler(RequestHandler):
    def initialize(self, contexts):
        self.contexts = contexts

    def asked(self):
        try:
            body = json.loads(self.request.body or b"{}")
        except ValueError:
            raise Refused(400, "the body is not JSON") from None
        if not isinstance(body, dict):
            raise Refused(400, "the body is not an object")
        return body

    def language(self, body):
        named = str(body.get("language") or "python").lower()
        return ALIASES.get(named, named)

    def write_error(self, status_code, **info):
        error = info.get("exc_info", (None, None))[1]
        if isinstance(error, Refused):
            self.set_status(error.status)
            self.finish({"code": error.status, "message": str(error)})
        else:
            self.finish({"code": status_code, "message": "the interpreter failed; see its log"})

    def log_exception(self, kind, error, trace):
        if not isinstance(error, Refused):
            super().log_exception(kind, error, trace)


class Execute(Handler):
    running = None
    """The context, once our own cell is the one that runs in it."""
    gone = False

    async def post(self):
        body = self.asked()
        code, environment = body.get("code"), body.get("env_vars") or {}
        if not isinstance(code, str):
            raise Refused(400, "code: must be text")
        if not isinstance(environment, dict):
            raise Refused(400, "env_vars: must be a map of texts")
        environment = {str(k): str(v) for k, v in environment.items()}
        if body.get("context_id"):
            context = self.contexts.get(body["context_id"])
        else:
            context = await self.contexts.of(self.language(body))
        self.set_header("Content-Type", "application/x-ndjson")
        try:
            async for line in context.run(code, environment):
                if self.running is None:
                    self.running = context
                    if self.gone:
                        await context.interrupt()
                try:
                    self.write(json.dumps(line) + "\n")
                    await self.flush()
                except StreamClosedError:
                    continue  # interrupted; its last words are read so that the next cell is clean
        finally:
            self.running = None

    def on_connection_close(self):
        self.gone = True
        if self.running is not None:
            IOLoop.current().add_callback(self.running.interrupt)


class All(Handler):
    def get(self):
        self.finish(json.dumps([c.described() for c in self.contexts.all.values()]))

    async def post(self):
        body = self.asked()
        cwd = str(body.get("cwd") or Path.home())
        made = await self.contexts.make(self.language(body), cwd)
        self.finish(made.described())


class One(Handler):
    async def delete(self, id):
        await self.contexts.remove(id)
        self.set_status(204)


class Restart(Handler):
    async def post(self, id):
        await self.contexts.get(id).restart()
        self.set_status(204)


class Health(Handler):
    def get(self):
        self.set_status(204)


async def main():
    logging.basicConfig(level=logging.WARNING)
    contexts = Contexts()
    given = {"contexts": contexts}
    app = Application(
        [
            ("/execute", Execute, given),
            ("/contexts", All, given),
            ("/contexts/([^/]+)", One, given),
            ("/contexts/([^/]+)/restart", Restart, given),
            ("/health", Health, given),
        ]
    )
    app.listen(PORT, "127.0.0.1", max_buffer_size=BODY_MAX)
    await contexts.of("python")  # so that the first cell need not wait for it
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
