/** Against a real server; `tests/contract/typescript` starts it and sets the environment. */

import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";

import {
  Alcove,
  CommandFailed,
  Invalid,
  NotFound,
  Unauthenticated,
  Unavailable,
  type Sandbox,
} from "../src/index.js";

const alcove = new Alcove();
const plain = (): Promise<Sandbox> => alcove.sandbox("plain", { env: environment() });

function environment(): Record<string, string> {
  return { XDG_STATE_HOME: process.env["STATE"] ?? "/tmp" };
}

test("a sandbox runs a command and deletes itself", async () => {
  let id: string;
  {
    await using sandbox = await alcove.sandbox("plain", {
      ttl: "1h",
      env: { GREETING: "hello" },
      labels: { job: "1" },
    });
    id = sandbox.id;
    const done = await sandbox.run("echo $GREETING; echo err >&2; exit 3");
    assert.deepEqual([done.stdout, done.stderr, done.exitCode], ["hello\n", "err\n", 3]);
    const listed = [];
    for await (const one of alcove.sandboxes.list({ labels: { job: "1" } })) listed.push(one.id);
    assert.deepEqual(listed, [id]);
    assert.ok(Date.parse(sandbox.info.expires_at ?? "") > Date.parse(sandbox.info.created_at));
  }
  const gone = await alcove.sandboxes.get(id).catch((error: unknown) => error);
  assert.ok(gone instanceof NotFound || (gone as Sandbox).info.desired === "deleted");
});

test("output is handed over as it is written, and a failure can be an error", async () => {
  await using sandbox = await plain();
  const seen: string[] = [];
  const done = await sandbox.run(["sh", "-c", "echo one; sleep 0.1; echo two; echo bad >&2"], {
    onStdout: (text) => seen.push(text),
  });
  assert.equal(seen.join(""), "one\ntwo\n");
  assert.equal(done.stderr, "bad\n");
  await assert.rejects(sandbox.run("echo why >&2; exit 2", { check: true }), (error) => {
    assert.ok(error instanceof CommandFailed);
    assert.match(error.message, /ended with 2: why/);
    return true;
  });
  const killed = await sandbox.run("sleep 60", { timeout: 1 });
  assert.equal(killed.signal, "KILL");
});

test("a command is ended by its signal", async () => {
  await using sandbox = await plain();
  const stop = new AbortController();
  const line = "echo began; sleep 98761";
  const running = sandbox.run(line, { signal: stop.signal, onStdout: () => stop.abort() });
  await assert.rejects(running);
  const left = await sandbox.run("sleep 0.5; pgrep -f 'sleep 9876[1]' || echo none");
  assert.equal(left.stdout, "none\n");
});

test("files go in, are listed, and come out", async () => {
  await using sandbox = await plain();
  const bytes = new Uint8Array(300_000).map((_, index) => index % 256);
  await sandbox.files.write("dir/b.bin", bytes);
  await sandbox.files.write("dir/a.txt", "text é\n");
  assert.deepEqual(await sandbox.files.read("dir/b.bin"), bytes);
  assert.equal(await sandbox.files.readText("dir/a.txt"), "text é\n");
  const names = (await sandbox.files.list("dir")).map((entry) => entry.name).sort();
  assert.deepEqual(names, ["a.txt", "b.bin"]);
  await sandbox.files.remove("dir");
  await assert.rejects(sandbox.files.read("dir/a.txt"), NotFound);
});

test("changes of files are told", async () => {
  await using sandbox = await plain();
  await sandbox.files.write("watched/first", "");
  const stop = new AbortController();
  const changes = sandbox.files.watch("watched", { signal: stop.signal });
  const next = changes.next();
  await new Promise((done) => setTimeout(done, 500));
  await sandbox.files.write("watched/second", "x");
  const change = (await next).value;
  assert.equal(change?.path, "second");
  stop.abort();
});

test("a process in the background is found again by its tag", async () => {
  await using sandbox = await plain();
  const line = "echo ready; read word; echo got $word; exit 7";
  const started = await sandbox.start(line, { tag: "job", stdin: true });
  assert.ok((started.pid ?? 0) > 0);
  const again = await (await alcove.sandboxes.get(sandbox.id)).process("job");
  await again.send("word\n");
  const done = await again.wait({ timeoutMs: 20_000 });
  assert.deepEqual([done.exitCode, done.output], [7, "ready\ngot word\n"]);
  let logs = "";
  for await (const text of again.logs({ follow: true })) logs += text;
  assert.equal(logs, "ready\ngot word\n");
  const server = await sandbox.start("exec sleep 600", { tag: "server" });
  await server.kill();
  assert.deepEqual(await sandbox.processes.list(), []);
});

test("a terminal is one, and can be resized", async () => {
  await using sandbox = await plain();
  await using shell = await sandbox.pty({ cols: 90, rows: 20, command: ["sh"] });
  await shell.resize(100, 30);
  await shell.write("stty size; exit 5\n");
  let text = "";
  for await (const output of shell) text += Buffer.from(output.data).toString();
  assert.match(text, /30 100/);
  assert.equal((await shell.wait()).exitCode, 5);
});

test("a process with live streams takes input and a signal", async () => {
  await using sandbox = await plain();
  await using cat = await sandbox.open(["cat"]);
  await cat.write("x".repeat(200_000));
  await cat.closeStdin();
  let size = 0;
  for await (const output of cat) size += output.data.length;
  assert.equal(size, 200_000);
  await using sleep = await sandbox.open(["sleep", "60"]);
  await sleep.signal("TERM");
  assert.equal((await sleep.wait()).exitCode, 143);
});

test("a port is waited for and gets an address", async () => {
  await using sandbox = await plain();
  await sandbox.start("exec python3 -m http.server 18734 --bind 127.0.0.1", { tag: "web" });
  await sandbox.waitForPort(18734, { timeoutMs: 20_000 });
  assert.match(await sandbox.url(18734), /18734/);
  assert.match(await sandbox.url(18734, { ttl: 60 }), /^http/);
});

test("it pauses and resumes, and is kept and forked", async () => {
  await using sandbox = await plain();
  assert.equal((await sandbox.pause()).info.phase, "paused");
  assert.equal((await sandbox.resume()).info.phase, "running");
  const snapshot = await sandbox.snapshot("kept");
  assert.equal(snapshot.state, "ready");
  await using copy = await alcove.sandbox(undefined, { snapshot: "kept" });
  assert.notEqual(copy.id, sandbox.id);
  const forks = await sandbox.fork(2);
  assert.equal(new Set(forks.map((fork) => fork.id)).size, 2);
  await Promise.all(forks.map((fork) => fork.delete()));
});

test("errors have a class, a code, and fields", async () => {
  await assert.rejects(alcove.sandboxes.get("nowhere"), NotFound);
  const wrong = alcove.sandbox("plain", { ttl: "never" });
  await assert.rejects(wrong, (error) => {
    assert.ok(error instanceof Invalid);
    assert.equal(error.code, "invalid");
    assert.equal(error.errors[0]?.field, "ttl");
    assert.ok(error.requestId);
    return true;
  });
  const stranger = new Alcove({ url: alcove.url, token: "alc_wrong" });
  await assert.rejects(stranger.sandboxes.get("x"), Unauthenticated);
});

test("a creation that is repeated carries one key; a refusal is not repeated", async () => {
  const keys: (string | undefined)[] = [];
  const statuses = [503, 429, 422];
  const server = createServer((request, response) => {
    keys.push(request.headers["idempotency-key"] as string | undefined);
    response.writeHead(statuses[keys.length - 1] ?? 500, { "content-type": "application/json" });
    response.end(JSON.stringify({ code: "invalid", detail: "no", errors: [] }));
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  try {
    await assert.rejects(new Alcove({ url, token: "t" }).sandbox("plain"), Invalid);
  } finally {
    server.close();
    server.closeAllConnections();
  }
  assert.equal(keys.length, 3);
  assert.equal(new Set(keys).size, 1);
  assert.ok(keys[0]);
  await assert.rejects(new Alcove({ url, token: "t", retries: 1 }).sandbox("plain"), Unavailable);
});
