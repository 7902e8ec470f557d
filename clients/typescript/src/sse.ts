/** Server-sent events (WHATWG HTML, 9.2) out of a body that comes in pieces. */

export interface ServerSentEvent {
  event: string;
  data: string;
}

const EVENT_MAX = 8 * 1024 * 1024;

/** Each event once it is whole. Throws for one that never ends. */
export async function* events(body: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  const decoder = new TextDecoder();
  let rest = "";
  let event = "";
  let data: string[] = [];
  let size = 0;
  for await (const piece of body) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    if (size + rest.length > EVENT_MAX) throw new Error("the server sent an event without an end");
    for (const raw of lines) {
      const line = raw.endsWith("\r") ? raw.slice(0, -1) : raw;
      if (line === "") {
        if (data.length > 0) yield { event: event || "message", data: data.join("\n") };
        [event, data, size] = ["", [], 0];
        continue;
      }
      const colon = line.indexOf(":");
      const name = colon < 0 ? line : line.slice(0, colon);
      const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
      if (name === "event") event = value;
      if (name === "data") {
        size += value.length;
        data.push(value);
      }
    }
  }
}
