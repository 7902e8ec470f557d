// One stream of names for the whole page. What carries `data-live="workspace:ws-… port:ws-…"` (or
// `workspace` for any of that noun) asks the server for itself again when its name comes.
import htmx from "htmx.org";

const HOLD_MS = 400;
const TICK_MS = 4000;

// What no event tells of (`data-tick`) is looked at now and then, unless somebody is at it.
function tick(): void {
  if (document.hidden) return;
  for (const element of document.querySelectorAll<HTMLElement>("[data-tick]"))
    if (!element.matches(":hover") && !element.querySelector(":focus, details[open]")) htmx.trigger(element, "tick", {});
}

export function live(): void {
  setInterval(tick, TICK_MS);
  if (!document.querySelector("[data-live]")) return;
  let source: EventSource | undefined;
  const connect = () => {
    source ??= new EventSource(`/live?of=${encodeURIComponent([...nouns()].join(","))}`);
    let before = false;
    source.addEventListener("ready", () => {
      document.documentElement.dataset.live = "on";
      // What changed while there was no connection was not told.
      if (before) changed(["*"]);
      before = true;
    });
    source.addEventListener("error", () => (document.documentElement.dataset.live = "off"));
    source.addEventListener("changed", (event) => changed((event as MessageEvent<string>).data.split("\n")));
  };
  // A page that nobody sees needs no connection; browsers have few of them for each server.
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) {
      source?.close();
      source = undefined;
    } else if (!source) {
      connect();
      changed(["*"]);
    }
  });
  window.addEventListener("pagehide", () => source?.close());
  connect();
}

function nouns(): Set<string> {
  const found = new Set<string>();
  for (const element of document.querySelectorAll<HTMLElement>("[data-live]"))
    for (const name of (element.dataset.live ?? "").split(" ")) found.add(name.split(":")[0] ?? "");
  return found;
}

function changed(names: string[]): void {
  for (const element of document.querySelectorAll<HTMLElement>("[data-live]")) {
    const wanted = (element.dataset.live ?? "").split(" ");
    const told = names.filter((name) => name === "*" || wanted.includes(name.replace(" ", ":")));
    if (told.length) htmx.trigger(element, "live", {});
    // A list asks again only for what it does not show yet: rows look after themselves.
    const news = names.some((name) => {
      const [noun, id] = name.split(" ");
      return name === "*" || (wanted.includes(noun ?? "") && !(id && document.getElementById(id)));
    });
    if (news && wanted.some((name) => !name.includes(":"))) whenLeft(element);
  }
}

// Nothing jumps: a list takes in new lines once the pointer has left it, and nothing is chosen in it.
function whenLeft(element: HTMLElement): void {
  if (element.dataset.waiting) return;
  element.dataset.waiting = "yes";
  const look = () => {
    if (!element.isConnected) return;
    const busy = element.matches(":hover") || element.querySelector("input:checked, :focus, details[open]");
    if (busy) {
      setTimeout(look, HOLD_MS);
      return;
    }
    delete element.dataset.waiting;
    htmx.trigger(element, "list-changed", {});
  };
  look();
}
