// ⌘K, Ctrl+K or /: go to a page or a workspace, or do something. By keyboard alone; j and k move in lists.
const WAIT_MS = 80;

export function palette(): void {
  const dialog = document.querySelector<HTMLDialogElement>("#palette");
  const input = dialog?.querySelector("input");
  const found = dialog?.querySelector<HTMLElement>("#palette-found");
  if (!dialog || !input || !found) return;
  let timer = 0;
  let asked = 0;

  const options = () => [...found.querySelectorAll<HTMLElement>("[role=option]")];
  const choose = (at: number) => {
    const all = options();
    all.forEach((one, number) => one.setAttribute("aria-selected", String(number === at)));
    const chosen = all[at];
    input.setAttribute("aria-activedescendant", chosen?.id ?? "");
    chosen?.scrollIntoView({ block: "nearest" });
  };
  const chosen = () => options().findIndex((one) => one.getAttribute("aria-selected") === "true");
  const look = async () => {
    const number = ++asked;
    const answer = await fetch(`/palette?q=${encodeURIComponent(input.value)}`, { headers: { "HX-Request": "true" } });
    if (number !== asked || !answer.ok) return;
    // Our own server's fragment, escaped there.
    found.innerHTML = await answer.text();
    choose(0);
  };
  const open = () => {
    if (dialog.open) return;
    input.value = "";
    dialog.showModal();
    input.focus();
    void look();
  };

  document.addEventListener("keydown", (event) => {
    const typing = (event.target as Element).closest("input, textarea, select, [contenteditable], .xterm");
    if (event.key.toLowerCase() === "k" && (event.metaKey || event.ctrlKey) && !(event.target as Element).closest(".xterm")) {
      event.preventDefault();
      open();
    } else if (event.metaKey || event.ctrlKey || event.altKey || typing || dialog.open) {
      return;
    } else if (event.key === "/") {
      event.preventDefault();
      open();
    } else if (event.key === "j" || event.key === "k") {
      move(event.key === "j" ? 1 : -1);
    }
  });
  for (const button of document.querySelectorAll("[data-palette]")) button.addEventListener("click", open);
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  found.addEventListener("click", (event) => {
    const option = (event.target as Element).closest<HTMLElement>("[role=option]");
    if (option) go(option);
  });
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = window.setTimeout(() => void look(), WAIT_MS);
  });
  input.addEventListener("keydown", (event) => {
    const all = options();
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      choose((chosen() + step + all.length) % Math.max(1, all.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      const option = all[chosen()];
      if (option) go(option);
    }
  });
}

function go(option: HTMLElement): void {
  const path = option.dataset.path ?? "/";
  if (option.dataset.method !== "post") {
    location.href = path;
    return;
  }
  const form = document.createElement("form");
  form.method = "post";
  form.action = path;
  document.body.append(form);
  form.submit();
}

// The next line of the list that has the focus, or the first.
function move(step: number): void {
  const lines = [...document.querySelectorAll<HTMLElement>("main tbody tr a.strong")];
  const here = lines.findIndex((line) => line.closest("tr")?.contains(document.activeElement));
  lines[Math.min(lines.length - 1, Math.max(0, here + step))]?.focus();
}
