/** Sandboxes: workspaces as a program uses them, for as long as it needs one. */

import { SnapshotFailed, WaitTimeout, WorkspaceFailed } from "./errors.js";
import { Files } from "./files.js";
import { Ports } from "./ports.js";
import {
  BackgroundProcess,
  Process,
  Processes,
  open,
  run,
  type RunOptions,
  type RunResult,
} from "./processes.js";
import { segment, type Transport } from "./transport.js";
import {
  duration,
  type Duration,
  type NewWorkspace,
  type Snapshot,
  type Workspace,
} from "./types.js";

export const TEMPLATE = "ai-agent-sandbox";
/** Whoever dies without saying so leaves nothing behind for longer than this. */
export const TTL = "1h";
const READY_MS = 600_000;
const POLL_MS = 100;

/** What a new sandbox is given, named as in the API; all of it has a default. */
export interface SandboxOptions extends Omit<
  Partial<NewWorkspace>,
  "template" | "ttl" | "idle_stop"
> {
  /** How long it lives; null: as long as the template says. */
  ttl?: Duration | null;
  idle_stop?: Duration;
  /** How long to wait until it can be worked in. */
  timeoutMs?: number;
}

export class Sandboxes {
  constructor(private readonly transport: Transport) {}

  /** Make one, of a template or `snapshot`, and wait until it can be worked in. */
  async create(template?: string, options: SandboxOptions = {}): Promise<Sandbox> {
    const { ttl = TTL, idle_stop, timeoutMs = READY_MS, ...rest } = options;
    const json: Record<string, unknown> = {
      ...rest,
      template: template ?? (rest.snapshot ? undefined : TEMPLATE),
      ttl: ttl === null ? undefined : duration(ttl),
      idle_stop: duration(idle_stop),
    };
    const made = await this.transport.json<Workspace>("POST", "/workspaces", { json });
    const sandbox = new Sandbox(this.transport, made);
    try {
      await sandbox.ready({ timeoutMs });
    } catch (error) {
      await sandbox.delete();
      throw error;
    }
    return sandbox;
  }

  /** One that is there: an id, a name of your own, or `owner/name`. */
  async get(ref: string): Promise<Sandbox> {
    const info = await this.transport.json<Workspace>("GET", `/workspaces/${segment(ref)}`);
    return new Sandbox(this.transport, info);
  }

  /** Your own, newest first, fetched as one iterates. */
  async *list(
    options: { labels?: Record<string, string>; template?: string } = {},
  ): AsyncGenerator<Sandbox> {
    const label = Object.entries(options.labels ?? {}).map(([key, value]) => `${key}=${value}`);
    for (let cursor: string | undefined; ; ) {
      const query = { owner: "me", label, template: options.template, cursor };
      const page = await this.transport.json<{ items: Workspace[]; next_cursor: string | null }>(
        "GET",
        "/workspaces",
        { query },
      );
      for (const info of page.items) yield new Sandbox(this.transport, info);
      if (page.next_cursor === null) return;
      cursor = page.next_cursor;
    }
  }
}

/** One of them. With `await using` it deletes itself at the end of the block. */
export class Sandbox implements AsyncDisposable {
  readonly files: Files;
  readonly ports: Ports;
  readonly processes: Processes;
  readonly #base: string;
  #info: Workspace;

  constructor(
    private readonly transport: Transport,
    info: Workspace,
  ) {
    this.#info = info;
    this.#base = `/workspaces/${info.id}`;
    this.files = new Files(transport, this.#base);
    this.ports = new Ports(transport, this.#base);
    this.processes = new Processes(transport, this.#base);
  }

  /** Everything that the server said about it last; `refresh` asks again. */
  get info(): Workspace {
    return this.#info;
  }
  get id(): string {
    return this.#info.id;
  }
  get name(): string {
    return this.#info.name;
  }

  async refresh(): Promise<this> {
    this.#info = await this.transport.json<Workspace>("GET", this.#base);
    return this;
  }

  /** Until it runs, and its clone and scripts are over, well or badly: `info.health` tells. */
  async ready(options: { timeoutMs?: number } = {}): Promise<this> {
    const timeoutMs = options.timeoutMs ?? READY_MS;
    const deadline = Date.now() + timeoutMs;
    for (let pause = 10; ; pause = Math.min(1000, pause * 1.5)) {
      const { phase, health, desired, reason } = this.#info;
      if (phase === "running" && health !== "starting") return this;
      if (phase === "failed" || desired !== "running") {
        throw new WorkspaceFailed(`${this.name} is ${phase}: ${reason}`);
      }
      if (Date.now() > deadline) {
        throw new WaitTimeout(`${this.name} is ${phase} after ${timeoutMs} ms`);
      }
      await new Promise((done) => setTimeout(done, pause));
      await this.refresh();
    }
  }

  /** Run to the end; a text is a line for the shell, a list a program and its arguments. */
  async run(command: string | readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return run(this.transport, this.#base, command, options);
  }

  /** Start a line of the shell in the background; `process` finds it again. */
  async start(
    command: string,
    options: Parameters<Processes["start"]>[1] = {},
  ): Promise<BackgroundProcess> {
    return this.processes.start(command, options);
  }

  /** One that was started before, by whichever client: its tag, or its pid. */
  async process(process: string | number): Promise<BackgroundProcess> {
    return this.processes.get(process);
  }

  /** A command with live streams; the end of the connection ends it. */
  async open(
    command: string | readonly string[],
    options: { cwd?: string; env?: Record<string, string>; user?: string } = {},
  ): Promise<Process> {
    return open(this.transport, this.#base, { command, stdin: true, ...options });
  }

  /** A command, or the login shell, in a terminal. */
  async pty(
    options: {
      cols?: number;
      rows?: number;
      command?: string | readonly string[];
      cwd?: string;
      env?: Record<string, string>;
    } = {},
  ): Promise<Process> {
    const { cols = 80, rows = 24, command = 'exec "${SHELL:-/bin/sh}" -l', ...rest } = options;
    const pty = { cols, rows };
    const asked = { command, stdin: true, pty, term: "xterm-256color", ...rest };
    return open(this.transport, this.#base, asked);
  }

  /**
   * Where browsers find what listens on the port. With `ttl`, or on a server without a domain
   * for apps, a link that opens it for whoever has it.
   */
  async url(port: number, options: { ttl?: Duration } = {}): Promise<string> {
    const pattern = this.#info.urls["app"];
    if (options.ttl === undefined && pattern !== undefined) {
      return pattern.replace("{port}", String(port));
    }
    return (await this.ports.link(port, { ttl: options.ttl ?? "1h" })).url;
  }

  /** Until something listens there. */
  async waitForPort(port: number, options: { timeoutMs?: number } = {}): Promise<void> {
    const deadline = Date.now() + (options.timeoutMs ?? 60_000);
    while (!(await this.ports.list()).some((one) => one.port === port && one.listening)) {
      if (Date.now() > deadline) throw new WaitTimeout(`nothing listens on port ${port}`);
      await new Promise((done) => setTimeout(done, POLL_MS));
    }
  }

  /** Keep it as it is and use no CPU. Throws Unsupported where that cannot be. */
  async pause(): Promise<this> {
    return this.#ask("pause", "paused");
  }

  async resume(): Promise<this> {
    return this.#ask("resume", "running");
  }

  /** Keep its state, to make others of it: `sandbox(undefined, {snapshot: …})`. */
  async snapshot(name?: string, options: { ttl?: Duration } = {}): Promise<Snapshot> {
    const json = { name, ttl: duration(options.ttl) };
    const path = `${this.#base}/snapshot`;
    let found = await this.transport.json<Snapshot>("POST", path, { json });
    while (found.state === "taking") {
      await new Promise((done) => setTimeout(done, POLL_MS));
      found = await this.transport.json<Snapshot>("GET", `/snapshots/${found.id}`);
    }
    if (found.state !== "ready") throw new SnapshotFailed(`the snapshot failed: ${found.detail}`);
    return found;
  }

  /** Sandboxes that begin as this one is now; it goes on as before. */
  async fork(count = 1, options: { name?: string; timeoutMs?: number } = {}): Promise<Sandbox[]> {
    const json = { count, name: options.name };
    const path = `${this.#base}/fork`;
    const made = await this.transport.json<{ items: Workspace[] }>("POST", path, { json });
    const forks = made.items.map((info) => new Sandbox(this.transport, info));
    await Promise.all(forks.map((fork) => fork.ready({ timeoutMs: options.timeoutMs })));
    return forks;
  }

  /** It ends so long from now, instead of when it would have. */
  async keepAlive(ttl: Duration): Promise<this> {
    const json = { ttl: duration(ttl) };
    this.#info = await this.transport.json<Workspace>("PATCH", this.#base, { json });
    return this;
  }

  /** Delete it with all that is in it; repeating it is fine. */
  async delete(): Promise<void> {
    await this.transport.send("DELETE", this.#base);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delete();
  }

  async #ask(verb: string, phase: Workspace["phase"]): Promise<this> {
    const path = `${this.#base}/${verb}`;
    // These verbs may be repeated as they are.
    const sent = { query: { wait: "60s" }, timeoutMs: 90_000 };
    this.#info = await this.transport.json<Workspace>("POST", path, sent);
    if (this.#info.phase !== phase) {
      const { name, reason } = this.#info;
      throw new WorkspaceFailed(`${name} is ${this.#info.phase} and not ${phase}: ${reason}`);
    }
    return this;
  }
}
