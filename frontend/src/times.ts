// `<time datetime>`: relative in the page, exact in the reader's zone in the tooltip, and kept up.
const EVERY_MS = 10_000;
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export function times(root: Element): void {
  for (const element of root.querySelectorAll("time")) show(element);
}

function show(element: HTMLTimeElement): void {
  const at = new Date(element.dateTime);
  if (Number.isNaN(at.getTime())) return;
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  element.title = `${exact.format(at)} (${zone})`;
  if (element.hasAttribute("data-exact")) {
    element.textContent = exact.format(at);
    return;
  }
  // The server said how long ago by its own clock; from here on time passes at the same speed.
  const said = (element.dataset.at ??= String(performance.now()));
  const apart = Number((element.dataset.apart ??= String(offset(element, at))));
  element.textContent = words(apart + (performance.now() - Number(said)) / 1000);
}

// Seconds since then, as the server counted: the reader's clock may be wrong.
function offset(element: HTMLTimeElement, at: Date): number {
  const now = document.documentElement.dataset.now;
  return ((now ? Date.parse(now) : Date.now()) - at.getTime()) / 1000;
}

export function words(ago: number): string {
  const text = span(Math.abs(ago));
  if (Math.abs(ago) < 1) return "now";
  return ago < 0 ? `in ${text}` : `${text} ago`;
}

export function span(seconds: number): string {
  const days = Math.floor(seconds / 86400);
  const hours = Math.floor((seconds % 86400) / 3600);
  const minutes = Math.floor((seconds % 3600) / 60);
  if (days) return hours && days < 14 ? `${days}d ${hours}h` : `${days}d`;
  if (hours) return minutes ? `${hours}h ${minutes}m` : `${hours}h`;
  return minutes ? `${minutes}m ${Math.floor(seconds % 60)}s` : `${Math.floor(seconds)}s`;
}

setInterval(() => times(document.body), EVERY_MS);
