/** Files of a sandbox. Paths that do not begin with `/` are below the home directory. */

import { events } from "./sse.js";
import type { Transport } from "./transport.js";
import type { FileChange, FileEntry } from "./types.js";

export class Files {
  constructor(
    private readonly transport: Transport,
    private readonly base: string,
  ) {}

  async read(path: string): Promise<Uint8Array> {
    const sent = { query: { path }, timeoutMs: 0 };
    const response = await this.transport.send("GET", `${this.base}/files`, sent);
    return new Uint8Array(await response.arrayBuffer());
  }

  async readText(path: string): Promise<string> {
    return new TextDecoder().decode(await this.read(path));
  }

  /** Its bytes as they come, for what is large. */
  async stream(path: string): Promise<ReadableStream<Uint8Array>> {
    const sent = { query: { path }, timeoutMs: 0 };
    const response = await this.transport.send("GET", `${this.base}/files`, sent);
    return response.body as ReadableStream<Uint8Array>;
  }

  /** Make or replace a file, whole or not at all; directories above it are made. */
  async write(path: string, content: string | Uint8Array): Promise<void> {
    await this.transport.send("PUT", `${this.base}/files`, {
      query: { path },
      content: typeof content === "string" ? new TextEncoder().encode(content) : content,
      headers: { "content-type": "application/octet-stream" },
      timeoutMs: 0,
    });
  }

  async list(path = ".", options: { depth?: number } = {}): Promise<FileEntry[]> {
    const query = { path, depth: options.depth };
    const answer = await this.transport.json<{ items: FileEntry[] }>(
      "GET",
      `${this.base}/files/list`,
      { query },
    );
    return answer.items;
  }

  /** Remove a file, or a directory with all that is in it. */
  async remove(path: string): Promise<void> {
    await this.transport.send("DELETE", `${this.base}/files`, { query: { path } });
  }

  /** Changes below a directory as they happen, until `signal` ends it. */
  async *watch(
    path = ".",
    options: { recursive?: boolean; signal?: AbortSignal } = {},
  ): AsyncGenerator<FileChange> {
    const query = { path, recursive: options.recursive ?? false };
    const sent = { query, timeoutMs: 0, signal: options.signal };
    const response = await this.transport.send("GET", `${this.base}/files/watch`, sent);
    for await (const event of events(response.body as ReadableStream<Uint8Array>)) {
      if (event.event === "change") yield JSON.parse(event.data) as FileChange;
    }
  }
}
