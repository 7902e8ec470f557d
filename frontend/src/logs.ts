// The log of a workspace, line by line as it comes. Lines are text, never markup.
const LINES_MAX = 5000;

interface Line {
  at: string | null;
  source: string;
  line: string;
}

export function logs(): void {
  const target = document.querySelector<HTMLElement>("[data-logs]");
  if (!target) return;
  const source = new EventSource(target.dataset.logs ?? "");
  target.textContent = "";
  source.addEventListener("log", (event) => {
    const { source: from, line } = JSON.parse((event as MessageEvent<string>).data) as Line;
    const atEnd = target.scrollHeight - target.scrollTop - target.clientHeight < 40;
    const shown = document.createElement("div");
    const label = document.createElement("span");
    label.className = "meta";
    label.textContent = `${from}  `;
    shown.append(label, line);
    target.append(shown);
    while (target.childElementCount > LINES_MAX) target.firstElementChild?.remove();
    if (atEnd) target.scrollTop = target.scrollHeight;
  });
  // The end of the stream is no reason to begin again and again.
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CONNECTING && target.dataset.ends === "yes") source.close();
  });
}
