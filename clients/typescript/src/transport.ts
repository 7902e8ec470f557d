/** One server: authentication, repetition, problems as errors. Every call goes through here. */

import { randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";

import { AlcoveError, Invalid, Unauthenticated, Unavailable, fromProblem } from "./errors.js";

export const VERSION = "0.1.0";
export const URL_DEFAULT = "http://127.0.0.1:7080";
export const RETRIES = 3;
export const TIMEOUT_MS = 60_000;
const API = "/api/v2";
const WAIT_FIRST_MS = 200;
const WAIT_MAX_MS = 8_000;
const RETRY_AFTER_MAX_MS = 60_000;
const PASSING = new Set([429, 502, 503, 504]);

export interface AlcoveOptions {
  /** Else `ALCOVE_URL`, else the server that `alcove login` was last used for. */
  url?: string;
  /** Else `ALCOVE_TOKEN`, else what `alcove login` stored for the server. */
  token?: string;
  /** How long an ordinary call may take; what streams or waits has its own. */
  timeoutMs?: number;
  /** How often what fails in passing is tried again, where that is harmless. */
  retries?: number;
}

/** Whether doing a call twice is harmless. */
export type Repeat = "safe" | "unsent" | "never";

export interface Sent {
  query?: Record<string, string | number | boolean | readonly string[] | undefined | null>;
  json?: unknown;
  content?: Uint8Array;
  headers?: Record<string, string>;
  repeat?: Repeat;
  /** 0: as long as it takes. */
  timeoutMs?: number;
  signal?: AbortSignal;
}

export class Transport {
  readonly url: string;
  readonly #token: string;
  readonly #timeoutMs: number;
  readonly #retries: number;

  constructor(options: AlcoveOptions) {
    const stored = storedCredentials();
    const url = options.url ?? (process.env["ALCOVE_URL"] || stored?.current || URL_DEFAULT);
    this.url = normalUrl(url);
    const token =
      options.token ?? (process.env["ALCOVE_TOKEN"] || stored?.servers?.[this.url]?.token);
    if (!token) {
      throw new Unauthenticated(
        `there is no token for ${this.url}: give one, set ALCOVE_TOKEN, or run alcove login`,
      );
    }
    this.#token = token.trim();
    this.#timeoutMs = options.timeoutMs ?? TIMEOUT_MS;
    this.#retries = options.retries ?? RETRIES;
  }

  /** The answer's JSON. */
  async json<AnswerT>(method: string, path: string, sent: Sent = {}): Promise<AnswerT> {
    const response = await this.send(method, path, sent);
    try {
      return (await response.json()) as AnswerT;
    } catch (cause) {
      throw new Unavailable(`lost the connection to ${this.url}`, { cause });
    }
  }

  /** The answer, its body unread. Throws an AlcoveError for every outcome but 2xx. */
  async send(method: string, path: string, sent: Sent = {}): Promise<Response> {
    const repeat = sent.repeat ?? "safe";
    const headers: Record<string, string> = {
      authorization: `Bearer ${this.#token}`,
      "user-agent": `alcove-typescript/${VERSION} node/${process.versions.node}`,
      ...sent.headers,
    };
    let body = sent.content;
    if (sent.json !== undefined) {
      body = new TextEncoder().encode(JSON.stringify(sent.json));
      headers["content-type"] = "application/json";
    }
    // One key for all attempts: the server does it once, whatever is lost on the way.
    if (method === "POST" && repeat === "safe") {
      headers["idempotency-key"] ??= randomBytes(16).toString("hex");
    }
    const target = `${this.url}${API}${path}${queryOf(sent.query)}`;
    for (let attempt = 1; ; attempt += 1) {
      const outcome = await this.#attempt(target, { method, headers, body }, sent);
      if (outcome instanceof Response) return outcome;
      const pause = this.#pause(outcome, repeat, attempt);
      if (pause === undefined || sent.signal?.aborted) throw outcome;
      await new Promise((done) => setTimeout(done, pause));
    }
  }

  /** An open WebSocket. Throws the problem when the server refuses the upgrade. */
  async socket(path: string): Promise<WebSocket> {
    const socket = new WebSocket(`ws${this.url.slice("http".length)}${API}${path}`, {
      headers: { authorization: `Bearer ${this.#token}` },
      handshakeTimeout: 10_000,
      perMessageDeflate: false,
      maxPayload: 4 * 1024 * 1024,
    });
    socket.binaryType = "nodebuffer";
    await new Promise<void>((opened, failed) => {
      socket.once("open", opened);
      socket.once("error", (cause) => {
        failed(new Unavailable(`cannot reach ${this.url}: ${cause.message}`, { cause }));
      });
      socket.once("unexpected-response", (_request, response) => {
        const pieces: Buffer[] = [];
        response.on("data", (piece: Buffer) => pieces.push(piece));
        response.on("end", () => {
          const body = parsed(Buffer.concat(pieces).toString());
          failed(fromProblem(response.statusCode ?? 500, body));
        });
      });
    });
    return socket;
  }

  async #attempt(target: string, request: RequestInit, sent: Sent): Promise<Response | AlcoveError> {
    const timeoutMs = sent.timeoutMs ?? this.#timeoutMs;
    const signals = sent.signal ? [sent.signal] : [];
    if (timeoutMs > 0) signals.push(AbortSignal.timeout(timeoutMs));
    const signal = signals.length > 0 ? AbortSignal.any(signals) : undefined;
    let response: Response;
    try {
      response = await fetch(target, { ...request, signal, redirect: "error" } as RequestInit);
    } catch (cause) {
      sent.signal?.throwIfAborted();
      const unsent = isUnsent(cause);
      const said = unsent ? "cannot reach" : "lost the connection to";
      const code = unsent ? "unreachable" : "lost";
      return new Unavailable(`${said} ${this.url}: ${reasonOf(cause)}`, { cause, code });
    }
    if (response.ok) return response;
    const body = parsed(await response.text().catch(() => ""));
    return fromProblem(response.status, body, retryAfter(response.headers.get("retry-after")));
  }

  /** How long to wait before the next attempt; undefined: this outcome is final. */
  #pause(error: AlcoveError, repeat: Repeat, attempt: number): number | undefined {
    if (attempt > this.#retries || repeat === "never") return undefined;
    if (repeat === "unsent") {
      if (error.code !== "unreachable" && error.status !== 429) return undefined;
    } else if (error.status !== undefined && !PASSING.has(error.status)) {
      return undefined;
    }
    const own = Math.min(WAIT_MAX_MS, WAIT_FIRST_MS * 2 ** (attempt - 1));
    const jittered = own * (0.5 + Math.random() / 2);
    const asked = error.retryAfterMs ?? 0;
    return asked > RETRY_AFTER_MAX_MS ? undefined : Math.max(jittered, asked);
  }
}

/** `owner/name` is one segment of a path. */
export function segment(ref: string): string {
  return encodeURIComponent(ref);
}

function queryOf(query: Sent["query"]): string {
  const found = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === null) continue;
    for (const one of Array.isArray(value) ? value : [value]) found.append(name, String(one));
  }
  return found.size > 0 ? `?${found}` : "";
}

interface Stored {
  current?: string;
  servers?: Record<string, { token?: string }>;
}

/** What `alcove login` stored; the same file, read under the same rule. */
function storedCredentials(): Stored | undefined {
  const config = process.env["XDG_CONFIG_HOME"] || join(homedir(), ".config");
  const file = join(config, "alcove", "credentials.json");
  let text: string;
  try {
    if ((statSync(file).mode & 0o077) !== 0) {
      throw new Invalid(`${file} can be read by others: run chmod 600 on it`);
    }
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof AlcoveError) throw error;
    return undefined;
  }
  return parsed(text) as Stored | undefined;
}

function normalUrl(url: string): string {
  let found: URL;
  try {
    found = new URL(url);
  } catch (cause) {
    throw new Invalid(`url: ${url} is not a URL such as ${URL_DEFAULT}`, { cause });
  }
  if (found.protocol !== "http:" && found.protocol !== "https:") {
    throw new Invalid(`url: ${url} is neither http nor https`);
  }
  return `${found.origin}${found.pathname}`.replace(/\/+$/, "");
}

function isUnsent(cause: unknown): boolean {
  const inner = cause instanceof Error ? (cause.cause as { code?: string } | undefined) : undefined;
  return ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"].includes(
    inner?.code ?? "",
  );
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause instanceof Error && cause.cause.message ? cause.cause.message : cause.message;
}

function retryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(seconds) ? Math.max(0, seconds) : undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
