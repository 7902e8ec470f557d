// The connection of one viewer: it comes back by itself, and goes on at the byte where it was.
//
// Bytes are counted as they arrive. What the server may send ahead is bounded by a window that is
// moved when the screen has taken the bytes, so that neither side piles up what is not shown.

export const WINDOW = 256 * 1024;
const BACKOFF_MS = [0, 250, 500, 1000, 2000, 4000, 8000];
const PING_MS = 15_000;
const PONG_MS = 8_000;
const POLL_MS = 2_000;
// What is typed while there is no connection: so many characters, for so long.
const HELD_MAX = 16 * 1024;
const HELD_MS = 120_000;

export interface Size {
  cols: number;
  rows: number;
}

export interface View extends Size {
  viewers: number;
  leads: boolean;
}

// What is between the reader and the shell.
export type State =
  | { kind: "connecting" }
  | { kind: "open" }
  | { kind: "away"; why: string; start?: boolean; signIn?: boolean }
  | { kind: "ended"; code: number; signal: string | null; why?: string };

export interface Screen {
  // Forget everything shown, and go to these modes.
  reset(modes: string): void;
  // Bytes to show; `past` were written before this connection. `done` once they are shown.
  show(bytes: Uint8Array, past: boolean, done: () => void): void;
  view(view: View): void;
  state(state: State): void;
  // No more of what is typed is kept.
  full(): void;
}

interface Problem {
  code?: string;
  detail?: string;
}

export class Link {
  size: Size = { cols: 80, rows: 24 };
  private socket: WebSocket | null = null;
  private process = "";
  private offset = 0;
  private shown = 0;
  private acknowledged = 0;
  private past = 0;
  private pieces: Uint8Array[] = [];
  private failures = 0;
  private timer = 0;
  private pinger = 0;
  private ponger = 0;
  private wanted = false;
  private problem: Problem | null = null;
  private attached = false;
  private held = "";
  private heldAt = 0;
  full = false;

  // `running`: whether the workspace is known to run; else it is asked first.
  constructor(
    private readonly workspace: string,
    readonly session: string,
    private readonly screen: Screen,
    private running: boolean,
  ) {}

  get open(): boolean {
    return this.socket?.readyState === WebSocket.OPEN;
  }

  start(): void {
    if (this.wanted && (this.socket || this.timer)) return;
    this.wanted = true;
    this.failures = 0;
    this.again(0);
  }

  // Until `start`; what is on the screen stays.
  stop(): void {
    this.wanted = false;
    this.release();
    this.drop();
  }

  // Try now rather than later: the network is back, or somebody looks again.
  hurry(): void {
    if (!this.wanted) return;
    if (this.open) this.ping();
    else if (!this.socket) {
      this.failures = 0;
      this.again(0);
    }
  }

  type(data: string): void {
    if (!this.attached) {
      this.hold(data);
      return;
    }
    // The server takes at most 64 Ki characters in one message.
    for (let at = 0; at < data.length; at += 32_768) this.say({ type: "input", data: data.slice(at, at + 32_768) });
  }

  // All of it or nothing, and nothing more after that: no command loses its middle.
  private hold(data: string): void {
    if (!this.wanted || this.full) return;
    if (!this.held) this.heldAt = Date.now();
    if (this.held.length + data.length <= HELD_MAX) this.held += data;
    else {
      this.full = true;
      this.screen.full();
    }
  }

  private release(): string {
    const held = Date.now() - this.heldAt < HELD_MS ? this.held : "";
    this.held = "";
    this.full = false;
    return held;
  }

  resize(size: Size): void {
    if (size.cols === this.size.cols && size.rows === this.size.rows) return;
    this.size = size;
    this.say({ type: "resize", ...size });
  }

  private say(message: object): void {
    if (this.open) this.socket?.send(JSON.stringify(message));
  }

  private connect(): void {
    clearTimeout(this.timer);
    this.timer = 0;
    const query = new URLSearchParams({
      session: this.session,
      cols: String(this.size.cols),
      rows: String(this.size.rows),
      window: String(WINDOW),
      after: this.process ? `${this.process}:${this.offset}` : "0",
    });
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const path = `/api/v2/workspaces/${encodeURIComponent(this.workspace)}/terminal`;
    const socket = new WebSocket(`${scheme}://${location.host}${path}?${query}`);
    socket.binaryType = "arraybuffer";
    this.problem = null;
    this.socket = socket;
    if (this.failures === 0) this.screen.state({ kind: "connecting" });
    socket.onmessage = ({ data }) => {
      if (this.socket !== socket) return;
      if (typeof data === "string") this.told(JSON.parse(data));
      else this.received(new Uint8Array(data as ArrayBuffer));
    };
    socket.onclose = ({ code }) => {
      if (this.socket !== socket) return;
      this.drop();
      // The server ended it, rather than the network: there is a reason.
      if (code === 1000 || code >= 4000) this.running = false;
      if (!this.wanted) return;
      if (this.failures > 0) this.screen.state({ kind: "away", why: "The connection was lost. Reconnecting…" });
      const wait = BACKOFF_MS[Math.min(this.failures, BACKOFF_MS.length - 1)] ?? 0;
      this.failures += 1;
      this.again(wait * (0.75 + Math.random() / 2));
    };
  }

  private drop(): void {
    const socket = this.socket;
    this.socket = null;
    this.attached = false;
    clearTimeout(this.timer);
    clearTimeout(this.pinger);
    clearTimeout(this.ponger);
    this.timer = 0;
    this.flush();
    socket?.close();
  }

  private told(said: Record<string, unknown>): void {
    clearTimeout(this.ponger);
    switch (said["type"]) {
      case "attached": {
        const [id, offset] = [said["id"] as string, said["offset"] as number];
        if (id !== this.process || offset !== this.offset) this.screen.reset(said["modes"] as string);
        // What was meant for one program is not typed into the next one.
        const meant = !this.process || this.process === id;
        this.process = id;
        this.at(offset, said["end"] as number);
        this.failures = 0;
        this.running = true;
        this.attached = true;
        const held = this.release();
        if (held && meant) this.type(held);
        this.screen.state({ kind: "open" });
        this.ping();
        break;
      }
      case "resync":
        this.pieces = [];
        this.screen.reset(said["modes"] as string);
        this.at(said["offset"] as number, said["end"] as number);
        break;
      case "view":
        this.screen.view(said as unknown as View);
        break;
      case "exit":
        this.wanted = false;
        this.process = "";
        this.flush();
        this.screen.state({ kind: "ended", code: said["exit_code"] as number, signal: said["signal"] as string | null });
        break;
      case "pong":
        break;
      default:
        this.problem = said as Problem;
        if (this.problem.code === "session_ended") {
          // Somebody meant it: only a person comes back.
          this.wanted = false;
          this.flush();
          this.screen.state({ kind: "ended", code: 0, signal: null, why: `${this.problem.detail ?? "This connection was ended"}. The shell goes on.` });
        }
    }
  }

  private at(offset: number, past: number): void {
    this.offset = this.shown = this.acknowledged = offset;
    this.past = past;
  }

  private received(bytes: Uint8Array): void {
    clearTimeout(this.ponger);
    this.offset += bytes.length;
    if (this.offset <= this.past || this.pieces.length > 0) {
      // The past is shown at once, when all of it is here.
      this.pieces.push(bytes);
      this.acknowledge(this.offset);
      if (this.offset >= this.past) this.flush();
      return;
    }
    this.show(bytes, false);
  }

  private flush(): void {
    const pieces = this.pieces;
    if (pieces.length === 0) return;
    this.pieces = [];
    const all = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    this.show(all, true);
  }

  private show(bytes: Uint8Array, past: boolean): void {
    const socket = this.socket;
    this.screen.show(bytes, past, () => {
      if (this.socket !== socket) return;
      this.shown += bytes.length;
      this.acknowledge(this.shown);
    });
  }

  private acknowledge(offset: number): void {
    if (offset - this.acknowledged < WINDOW / 4) return;
    this.acknowledged = offset;
    this.say({ type: "ack", offset });
  }

  private ping(): void {
    clearTimeout(this.pinger);
    clearTimeout(this.ponger);
    this.say({ type: "ping" });
    const socket = this.socket;
    this.ponger = window.setTimeout(() => {
      if (this.socket === socket) socket?.onclose?.(new CloseEvent("close"));
    }, PONG_MS);
    this.pinger = window.setTimeout(() => this.ping(), PING_MS);
  }

  private again(wait: number): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.attempt(), wait);
  }

  // Connect, unless it is known to be in vain: then say why, and look again later.
  private async attempt(): Promise<void> {
    const turn = this.timer;
    if (!this.running || this.failures > 1) {
      const state = await this.ask();
      if (!this.wanted || this.socket || this.timer !== turn) return;
      this.running = !state;
      if (state) {
        this.screen.state(state);
        if (state.kind === "away" && state.signIn) this.stop();
        else this.again(POLL_MS);
        return;
      }
    }
    this.connect();
  }

  // What is in the way, by the workspace's own word; null when nothing is.
  private async ask(): Promise<State | null> {
    let answer: Response;
    try {
      answer = await fetch(`/api/v2/workspaces/${encodeURIComponent(this.workspace)}`, { signal: AbortSignal.timeout(5000) });
    } catch {
      return { kind: "away", why: "The server cannot be reached. Reconnecting…" };
    }
    if (answer.status === 401) return { kind: "away", why: "You are signed out.", signIn: true };
    if (answer.status === 404) return { kind: "away", why: "This workspace is gone." };
    if (!answer.ok) return null;
    const found = (await answer.json()) as { phase: string; name: string; reason: string | null };
    if (found.phase === "running") {
      const why = this.problem?.detail;
      this.problem = null; // shown once, and then tried again
      return why ? { kind: "away", why } : null;
    }
    const start = ["stopped", "failed", "paused"].includes(found.phase);
    return { kind: "away", why: `${found.name} is ${found.phase}${found.reason ? `: ${found.reason}` : ""}.`, start };
  }
}
