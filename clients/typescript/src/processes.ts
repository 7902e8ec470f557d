/** Commands: to their end, with live streams, and in the background. */

import type WebSocket from "ws";

import { AlcoveError, CommandFailed, Unavailable, WaitTimeout, fromProblem } from "./errors.js";
import { events } from "./sse.js";
import { segment, type Transport } from "./transport.js";
import {
  duration,
  type BackgroundProcess as Running,
  type Duration,
  type ExecAnswer,
  type ProcessLook,
} from "./types.js";

export type OnOutput = (text: string) => void;

export interface RunOptions {
  cwd?: string;
  env?: Record<string, string>;
  user?: string;
  stdin?: string | Uint8Array;
  /** After it the whole process tree is killed; seconds, or `"5m"`. */
  timeout?: Duration;
  /** Called with output as it arrives. */
  onStdout?: OnOutput;
  onStderr?: OnOutput;
  /** Throw CommandFailed for another exit code than 0. */
  check?: boolean;
  /** Ends the command, with what it started. */
  signal?: AbortSignal;
}

export interface RunResult {
  exitCode: number;
  /** What killed it, such as `KILL`. */
  signal: string | null;
  stdout: string;
  stderr: string;
  /** Output over the server's limit was left out. */
  truncated: boolean;
  durationMs: number;
  error: string | null;
}

export async function run(
  transport: Transport,
  base: string,
  command: string | readonly string[],
  options: RunOptions,
): Promise<RunResult> {
  const json: Record<string, unknown> = {
    command,
    cwd: options.cwd,
    env: options.env,
    user: options.user,
    timeout: duration(options.timeout),
  };
  if (typeof options.stdin === "string") json["stdin"] = options.stdin;
  else if (options.stdin) json["stdin_base64"] = Buffer.from(options.stdin).toString("base64");
  const sent = { json, timeoutMs: 0, signal: options.signal };
  const streamed = options.onStdout !== undefined || options.onStderr !== undefined;
  const path = `${base}/exec`;
  const result = streamed
    ? await runStreamed(transport, path, sent, options)
    : resultOf(await transport.json<ExecAnswer>("POST", path, sent));
  if (options.check && result.exitCode !== 0) {
    const said = result.stderr.trim().split("\n").at(-1) ?? "";
    throw new CommandFailed(`the command ended with ${result.exitCode}: ${said}`, result);
  }
  return result;
}

async function runStreamed(
  transport: Transport,
  path: string,
  sent: object,
  options: RunOptions,
): Promise<RunResult> {
  // A stream cannot be given again, so that nothing of it may be done twice.
  const headers = { accept: "text/event-stream" };
  const response = await transport.send("POST", path, { ...sent, headers, repeat: "unsent" });
  let [stdout, stderr] = ["", ""];
  for await (const event of events(response.body as ReadableStream<Uint8Array>)) {
    const data = JSON.parse(event.data) as Record<string, unknown>;
    if (event.event === "error") throw fromProblem(Number(data["status"] ?? 500), data);
    if (event.event === "exit") {
      return resultOf({ ...data, stdout, stderr, truncated: false } as ExecAnswer);
    }
    const text = textOf(String(data["data"] ?? ""), String(data["encoding"] ?? "utf-8"));
    if (event.event === "stdout") {
      stdout += text;
      options.onStdout?.(text);
    } else if (event.event === "stderr") {
      stderr += text;
      options.onStderr?.(text);
    }
  }
  throw new Unavailable("the connection was lost before the command ended");
}

function resultOf(answer: ExecAnswer): RunResult {
  return {
    exitCode: answer.exit_code,
    signal: answer.signal ?? null,
    stdout: answer.stdout,
    stderr: answer.stderr,
    truncated: answer.truncated,
    durationMs: answer.duration_ms,
    error: answer.error ?? null,
  };
}

function textOf(data: string, encoding: string): string {
  return encoding === "base64" ? Buffer.from(data, "base64").toString("utf8") : data;
}

/** Processes in the background, which any client finds again by their tag. */
export class Processes {
  constructor(
    private readonly transport: Transport,
    private readonly base: string,
  ) {}

  /** Those that run now. */
  async list(): Promise<Running[]> {
    const path = `${this.base}/processes`;
    return (await this.transport.json<{ items: Running[] }>("GET", path)).items;
  }

  /** Start a line of the user's shell; it goes on without this client. */
  async start(
    command: string,
    options: {
      /** The name under which it is found again; made up when left out. */
      tag?: string;
      cwd?: string;
      env?: Record<string, string>;
      user?: string;
      /** Whether `send` will be used. */
      stdin?: boolean;
    } = {},
  ): Promise<BackgroundProcess> {
    const json = { command, ...options };
    const made = await this.transport.json<Running>("POST", `${this.base}/processes`, { json });
    return new BackgroundProcess(this.transport, this.base, made.tag, made.pid);
  }

  /** One that was started before, by whichever client: its tag, or its pid while it runs. */
  async get(process: string | number): Promise<BackgroundProcess> {
    for (const found of await this.list()) {
      if (found.tag === process || found.pid === process) {
        return new BackgroundProcess(this.transport, this.base, found.tag, found.pid);
      }
    }
    const ended = new BackgroundProcess(this.transport, this.base, String(process));
    await ended.look();
    return ended;
  }
}

/** A process that goes on without us. Its output is kept, in the sandbox, after its end. */
export class BackgroundProcess {
  /** As last seen: `running`, `exited` or `killed`. */
  state: ProcessLook["state"] = "running";
  exitCode: number | null = null;
  readonly #path: string;

  constructor(
    private readonly transport: Transport,
    base: string,
    readonly tag: string,
    /** Undefined for one that had ended when it was looked for. */
    readonly pid?: number,
  ) {
    this.#path = `${base}/processes/${segment(tag)}`;
  }

  /** Its state and a piece of its output: from byte `after`, else the end of it. */
  async look(options: { after?: number; wait?: Duration } = {}): Promise<ProcessLook> {
    const query = { after: options.after, limit: 262_144, wait: duration(options.wait) };
    const seen = await this.transport.json<ProcessLook>("GET", this.#path, { query, timeoutMs: 0 });
    [this.state, this.exitCode] = [seen.state, seen.exit_code];
    return seen;
  }

  /** What it wrote from its start, both streams in order; with `follow` until it ends. */
  async *logs(options: { follow?: boolean } = {}): AsyncGenerator<string> {
    const decoder = new TextDecoder();
    for (let after = 0; ; ) {
      const seen = await this.look({ after, wait: options.follow ? 20 : undefined });
      const bytes = Buffer.from(seen.output, seen.encoding === "base64" ? "base64" : "utf8");
      if (bytes.length > 0) yield decoder.decode(bytes, { stream: true });
      const progressed = seen.end > after;
      after = seen.end;
      const whole = after >= seen.size || !progressed;
      if (whole && (!options.follow || seen.state !== "running")) return;
    }
  }

  /** Until it has ended: how, and the end of its output. */
  async wait(
    options: { timeoutMs?: number; check?: boolean } = {},
  ): Promise<{ exitCode: number | null; output: string }> {
    const deadline = Date.now() + (options.timeoutMs ?? Infinity);
    for (let after: number | undefined; ; ) {
      const left = Math.min(20, (deadline - Date.now()) / 1000);
      if (left < 0) throw new WaitTimeout(`process ${this.tag} runs after ${options.timeoutMs} ms`);
      const seen = await this.look({ after, wait: Math.max(1, Math.round(left)) });
      after = seen.end;
      if (seen.state === "running") continue;
      const last = await this.look();
      const result = {
        exitCode: last.exit_code,
        output: textOf(last.output, last.encoding ?? "utf-8"),
      };
      if (options.check && result.exitCode !== 0) {
        throw new CommandFailed(`${this.tag} ended with ${result.exitCode}`, result);
      }
      return result;
    }
  }

  /** Bytes for its stdin, if it was started with one. */
  async send(data: string | Uint8Array): Promise<void> {
    await this.#attached(async (live) => live.write(data));
  }

  async closeStdin(): Promise<void> {
    await this.#attached(async (live) => live.closeStdin());
  }

  /** `INT`, `HUP`, …, to it and those of its group. */
  async signal(name: string): Promise<void> {
    const json = { signal: name };
    await this.transport.send("POST", `${this.#path}/signal`, { json, repeat: "unsent" });
  }

  /** End it with all that it started: asked first, and killed after the grace. */
  async kill(options: { grace?: Duration } = {}): Promise<void> {
    const query = { grace: duration(options.grace) };
    await this.transport.send("DELETE", this.#path, { query, timeoutMs: 90_000 });
  }

  async #attached(act: (live: Process) => Promise<void>): Promise<void> {
    const live = new Process(await this.transport.socket(`${this.#path}/attach`));
    try {
      await act(live);
    } finally {
      await live.close();
    }
  }
}

const enum Frame {
  Stdin = 0,
  Stdout = 1,
  Stderr = 2,
  Exit = 3,
  Started = 4,
  StdinEnd = 5,
  Resize = 6,
  Signal = 7,
}
const PIECE_MAX = 65_536;

export interface Output {
  stream: "stdout" | "stderr";
  data: Uint8Array;
}
export interface Exit {
  exitCode: number;
  signal: string | null;
  error: string | null;
}

/** A process with live streams: iterate over its output, `write`, `resize`, `signal`, `wait`. */
export class Process implements AsyncDisposable {
  pid?: number;
  readonly #queue: (Output | Exit | AlcoveError)[] = [];
  #wake: () => void = () => {};
  #exit?: Exit;

  constructor(private readonly socket: WebSocket) {
    socket.on("message", (data: Buffer, binary: boolean) => this.#take(data, binary));
    socket.on("error", () => {});
    socket.on("close", () => {
      if (!this.#exit) this.#put(new Unavailable("the connection to the process was lost"));
    });
  }

  /** Until it has ended; all of its output goes to the first who iterates. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Output> {
    for (;;) {
      const next = this.#queue.shift();
      if (next === undefined) {
        if (this.#exit) return;
        // What nobody reads is not taken from the process.
        this.socket.resume();
        await new Promise<void>((wake) => (this.#wake = wake));
      } else if (next instanceof AlcoveError) {
        throw next;
      } else if ("exitCode" in next) {
        this.#exit = next;
        return;
      } else {
        yield next;
      }
    }
  }

  /** How it ended; output that nobody has read is dropped. */
  async wait(): Promise<Exit> {
    for await (const _ of this);
    if (!this.#exit) throw new Unavailable("the connection to the process was lost");
    return this.#exit;
  }

  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    for (let start = 0; start < bytes.length; start += PIECE_MAX) {
      await this.#send(Frame.Stdin, bytes.subarray(start, start + PIECE_MAX));
    }
  }

  async closeStdin(): Promise<void> {
    await this.#send(Frame.StdinEnd);
  }

  async resize(cols: number, rows: number): Promise<void> {
    await this.#send(Frame.Resize, new TextEncoder().encode(JSON.stringify({ cols, rows })));
  }

  async signal(name: string): Promise<void> {
    await this.#send(Frame.Signal, new TextEncoder().encode(JSON.stringify({ signal: name })));
  }

  /** Leave it. That ends the process tree, unless it is one in the background. */
  async close(): Promise<void> {
    if (this.socket.readyState === this.socket.CLOSED) return;
    await new Promise<void>((closed) => {
      this.socket.once("close", () => closed());
      this.socket.resume();
      this.socket.close();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #take(data: Buffer, binary: boolean): void {
    if (!binary) {
      const problem = JSON.parse(data.toString()) as { status?: number };
      this.#put(fromProblem(problem.status ?? 500, problem));
      return;
    }
    const payload = data.subarray(1);
    switch (data[0]) {
      case Frame.Stdout:
        this.#put({ stream: "stdout", data: payload });
        break;
      case Frame.Stderr:
        this.#put({ stream: "stderr", data: payload });
        break;
      case Frame.Started:
        this.pid = (JSON.parse(payload.toString()) as { pid: number }).pid;
        break;
      case Frame.Exit: {
        const said = JSON.parse(payload.toString()) as ExecAnswer;
        const [signal, error] = [said.signal ?? null, said.error ?? null];
        this.#put({ exitCode: said.exit_code, signal, error });
        break;
      }
    }
  }

  #put(item: Output | Exit | AlcoveError): void {
    this.#queue.push(item);
    if (this.#queue.length >= 64) this.socket.pause();
    this.#wake();
  }

  async #send(frame: Frame, payload: Uint8Array = new Uint8Array()): Promise<void> {
    const message = Buffer.concat([Buffer.of(frame), payload]);
    await new Promise<void>((sent, failed) => {
      this.socket.send(message, (cause) => {
        if (cause) failed(new Unavailable("the connection to the process was lost", { cause }));
        else sent();
      });
    });
  }
}

/** Run a command with live streams, or in a terminal. */
export async function open(
  transport: Transport,
  base: string,
  asked: Record<string, unknown>,
): Promise<Process> {
  const socket = await transport.socket(`${base}/exec`);
  const process = new Process(socket);
  socket.send(JSON.stringify(asked));
  return process;
}
