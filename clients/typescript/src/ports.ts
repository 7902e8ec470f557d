/** What listens in a sandbox, and who may open it. */

import type { Transport } from "./transport.js";
import { duration, type Duration, type Port, type PortLink } from "./types.js";

export class Ports {
  constructor(
    private readonly transport: Transport,
    private readonly base: string,
  ) {}

  /** Those that something listens on, or that are shared. */
  async list(): Promise<Port[]> {
    return (await this.transport.json<{ items: Port[] }>("GET", `${this.base}/ports`)).items;
  }

  /** Say who may open it; `private` is only you. */
  async share(
    port: number,
    level: "private" | "team" | "public" = "team",
    options: { ttl?: Duration } = {},
  ): Promise<Port> {
    const json = { level, ttl: duration(options.ttl) };
    return this.transport.json<Port>("POST", `${this.base}/ports/${port}/share`, { json });
  }

  async unshare(port: number): Promise<void> {
    await this.transport.send("DELETE", `${this.base}/ports/${port}/share`);
  }

  /** A link that opens the port for whoever has it. */
  async link(port: number, options: { ttl?: Duration; path?: string } = {}): Promise<PortLink> {
    const json = { ttl: duration(options.ttl), path: options.path };
    return this.transport.json<PortLink>("POST", `${this.base}/ports/${port}/links`, { json });
  }
}
