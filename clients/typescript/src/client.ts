/** The client: one object for one server. */

import { Sandbox, Sandboxes, type SandboxOptions } from "./sandbox.js";
import { Transport, type AlcoveOptions } from "./transport.js";

/**
 * A connection to an Alcove server. Without options it takes `ALCOVE_URL` and `ALCOVE_TOKEN`,
 * else what `alcove login` stored.
 */
export class Alcove {
  readonly url: string;
  readonly sandboxes: Sandboxes;

  constructor(options: AlcoveOptions = {}) {
    const transport = new Transport(options);
    this.url = transport.url;
    this.sandboxes = new Sandboxes(transport);
  }

  /** A sandbox of a template or a snapshot; with `await using` it deletes itself. */
  async sandbox(template?: string, options: SandboxOptions = {}): Promise<Sandbox> {
    return this.sandboxes.create(template, options);
  }
}
