// The web terminal: tabs of a workspace's terminals, one of them on the screen and connected.
import "@xterm/xterm/css/xterm.css";
import "./terminal/page.css";

import { Keys } from "./terminal/keys";
import { type Around, Pane } from "./terminal/pane";
import { FONT_MAX, FONT_MIN, keep, read } from "./terminal/settings";
import { onTheme, theme } from "./terminal/theme";

const HIDDEN_MS = 60_000;
const LIST_MS = 15_000;
const SETTLED_MS = 400;

interface Listed {
  session: string;
  name: string;
  title: string;
}

const one = <T extends HTMLElement>(selector: string): T => {
  const found = document.querySelector<T>(selector);
  if (!found) throw new Error(`the page has no ${selector}`);
  return found;
};

const root = one<HTMLElement>("#terminal");
const workspace = root.dataset["workspace"] ?? "";
const name = root.dataset["name"] ?? "";
const api = `/api/v2/workspaces/${encodeURIComponent(workspace)}`;
const [tabs, place, banner, said] = [one("#tabs"), one("#screen"), one("#banner"), one("#said")];
const [finder, found] = [one<HTMLFormElement>("#finder"), one<HTMLInputElement>("#find")];
const settings = read();
const panes = new Map<string, Pane>();
let listed: Listed[] = [];
let here: Pane;
let telling = 0;

const around: Around = {
  key(event) {
    if (event.type !== "keydown" || !event.ctrlKey || !event.shiftKey || event.altKey) return false;
    const act = { KeyF: openFinder, KeyC: copy, KeyL: leave, Equal: larger, Minus: smaller }[event.code];
    if (!act || (act === copy && !here.terminal.hasSelection())) return false;
    event.preventDefault();
    act();
    return true;
  },
  typed: (data) => keys.applied(data),
  follow,
  changed(pane) {
    if (pane === here) show();
    drawTabs();
  },
};

const keys = new Keys(
  one("#keys"),
  (data) => here.link.type(data),
  () => here.terminal.modes.applicationCursorKeysMode,
);

function go(session: string): void {
  let pane = panes.get(session);
  if (!pane) {
    pane = new Pane(workspace, session, settings, around, here?.link.open ?? root.dataset["running"] === "yes");
    panes.set(session, pane);
  }
  if (here !== pane) here?.leave();
  here = pane;
  history.replaceState(null, "", session === "main" ? location.pathname : `?session=${encodeURIComponent(session)}`);
  pane.enter(place);
  pane.terminal.focus();
  drawTabs();
  show();
}

function label(session: string): string {
  const known = listed.find((one) => one.session === session);
  return known?.name || panes.get(session)?.title || known?.title || session;
}

function drawTabs(): void {
  if (!here) return;
  const sessions = [...new Set([...listed.map((one) => one.session), ...panes.keys()])];
  const drawn = sessions.map((session) => {
    const tab = document.createElement("button");
    tab.type = "button";
    tab.role = "tab";
    tab.id = `tab-${session}`;
    tab.setAttribute("aria-controls", "screen");
    tab.setAttribute("aria-selected", String(session === here.session));
    tab.tabIndex = session === here.session ? 0 : -1;
    tab.textContent = label(session);
    tab.title = "Double-click to rename";
    if (panes.get(session)?.rang) tab.dataset["rang"] = "";
    tab.onclick = () => session !== here.session && go(session);
    tab.ondblclick = () => void rename();
    return tab;
  });
  const same = tabs.children.length === drawn.length && drawn.every((tab, i) => tab.isEqualNode(tabs.children[i] ?? null));
  if (!same) {
    const focused = document.activeElement?.parentElement === tabs ? document.activeElement.id : "";
    tabs.replaceChildren(...drawn);
    if (focused) document.getElementById(focused)?.focus();
  }
  place.setAttribute("aria-labelledby", `tab-${here.session}`);
  document.title = `${label(here.session)} · ${name} · Alcove`;
}

// What is in the way, said once it has been so for a moment.
function show(): void {
  clearTimeout(telling);
  const { now, seen } = here;
  root.dataset["state"] = now.kind;
  if (now.kind === "open" || now.kind === "connecting") {
    const mine = here.link.size;
    const smaller = now.kind === "open" && seen && seen.viewers > 1 && (seen.cols < mine.cols || seen.rows < mine.rows);
    if (now.kind === "open" || banner.hidden) tell("");
    said.textContent = smaller ? `${seen.cols} × ${seen.rows}, as small as the smallest of ${seen.viewers} viewers` : "";
    return;
  }
  const lost = here.link.full ? " No more of what you type is kept." : "";
  const ended = () => (now.kind === "ended" ? now.why ?? `The shell ended${now.signal ? ` by ${now.signal}` : now.code ? ` with ${now.code}` : ""}.` : now.why + lost);
  telling = window.setTimeout(() => {
    tell(ended());
    if (now.kind === "ended") act(now.why ? "Connect again" : "New shell", () => (here.link.start(), here.terminal.focus()));
    else if (now.signIn) act("Sign in", () => location.assign(`/sign-in?next=${encodeURIComponent(location.pathname)}`));
    else if (now.start) act("Start", () => void start());
  }, SETTLED_MS);
}

function tell(text: string): void {
  if (text === (banner.firstChild?.textContent ?? "") && banner.hidden === !text) return;
  banner.hidden = !text;
  const words = document.createElement("span");
  words.textContent = text;
  banner.replaceChildren(...(text ? [words] : []));
}

function act(text: string, done: () => void): void {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "primary";
  button.textContent = text;
  button.onclick = done;
  banner.querySelector("button")?.remove();
  banner.append(button);
}

async function start(): Promise<void> {
  const answer = await fetch(`${api}/start`, { method: "POST" }).catch(() => null);
  tell(answer?.ok ? "Starting…" : "It could not be started; look at the workspace's page.");
  here.link.hurry();
}

async function list(): Promise<void> {
  if (document.hidden || !here.link.open) return;
  const answer = await fetch(`${api}/terminals`).catch(() => null);
  if (!answer?.ok) return;
  listed = ((await answer.json()) as { items: Listed[] }).items;
  drawTabs();
}

function fresh(): void {
  const taken = new Set([...listed.map((one) => one.session), ...panes.keys()]);
  let number = 2;
  while (taken.has(`shell-${number}`)) number += 1;
  go(`shell-${number}`);
}

async function close(): Promise<void> {
  const closing = here;
  if (!(await asked(`Close ${label(closing.session)}? What runs in it is ended.`, "Close it"))) return;
  await fetch(`${api}/terminals/${encodeURIComponent(closing.session)}`, { method: "DELETE" }).catch(() => null);
  panes.delete(closing.session);
  listed = listed.filter((one) => one.session !== closing.session);
  const next = panes.keys().next().value ?? listed[0]?.session ?? "main";
  closing.dispose();
  go(next);
}

async function rename(): Promise<void> {
  const session = here.session;
  const box = one<HTMLDialogElement>("#rename");
  const input = one<HTMLInputElement>("#rename input");
  input.value = listed.find((one) => one.session === session)?.name ?? "";
  input.placeholder = label(session);
  if ((await opened(box)) !== "ok") return;
  const body = JSON.stringify({ name: input.value.trim() });
  const headers = { "content-type": "application/json" };
  await fetch(`${api}/terminals/${encodeURIComponent(session)}`, { method: "PATCH", body, headers }).catch(() => null);
  await list();
}

// Only the web, only after its address was shown, and without a way back to this page.
function follow(address: string): void {
  let url: URL;
  try {
    url = new URL(address);
  } catch {
    return;
  }
  if (url.protocol !== "https:" && url.protocol !== "http:") return;
  void asked("Open this address, which a program in the workspace shows?", "Open", url.href).then((yes) => {
    if (yes) window.open(url.href, "_blank", "noopener,noreferrer");
  });
}

async function asked(question: string, yes: string, detail = ""): Promise<boolean> {
  const box = one<HTMLDialogElement>("#ask");
  one("#ask p").textContent = question;
  one("#ask code").textContent = detail;
  one("#ask code").hidden = !detail;
  one("#ask [value=ok]").textContent = yes;
  return (await opened(box)) === "ok";
}

function opened(box: HTMLDialogElement): Promise<string> {
  box.returnValue = "";
  box.showModal();
  return new Promise((resolve) => {
    box.onclose = () => {
      here.terminal.focus();
      resolve(box.returnValue);
    };
  });
}

function openFinder(): void {
  finder.hidden = false;
  found.value ||= here.terminal.getSelection().slice(0, 200);
  found.select();
  found.focus();
}

function find(back: boolean): void {
  const options = { decorations: { matchOverviewRuler: "#8f8f00", activeMatchColorOverviewRuler: "#d08000", matchBackground: "#8a8a3a", activeMatchBackground: "#c07000" } };
  if (back) here.search.findPrevious(found.value, options);
  else here.search.findNext(found.value, options);
}

function closeFinder(): void {
  finder.hidden = true;
  here.search.clearDecorations();
  here.terminal.focus();
}

function copy(): void {
  void navigator.clipboard?.writeText(here.terminal.getSelection());
}

async function paste(): Promise<void> {
  const text = await navigator.clipboard?.readText().catch(() => "");
  if (text) here.terminal.paste(text);
  here.terminal.focus();
}

function leave(): void {
  tabs.querySelector<HTMLElement>("[aria-selected=true]")?.focus();
}

const larger = (): void => resizeFont(1);
const smaller = (): void => resizeFont(-1);

function resizeFont(by: number): void {
  settings.fontSize = Math.min(FONT_MAX, Math.max(FONT_MIN, settings.fontSize + by));
  keep(settings);
  for (const pane of panes.values()) pane.terminal.options.fontSize = settings.fontSize;
  here.fitted();
}

function readScreen(button: HTMLElement): void {
  settings.screenReader = !settings.screenReader;
  keep(settings);
  button.setAttribute("aria-pressed", String(settings.screenReader));
  for (const pane of panes.values()) pane.terminal.options.screenReaderMode = settings.screenReader;
}

function moveAlong(event: KeyboardEvent): void {
  const all = [...tabs.children] as HTMLElement[];
  const at = all.indexOf(document.activeElement as HTMLElement);
  const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: all.length - 1 }[event.key];
  if (event.key === "F2") void rename();
  if (at < 0 || to === undefined) return;
  event.preventDefault();
  all[(to + all.length) % all.length]?.focus();
}

function listen(): void {
  const acts: Record<string, (button: HTMLElement) => void> = {
    new: fresh,
    close: () => void close(),
    rename: () => void rename(),
    find: openFinder,
    copy,
    paste: () => void paste(),
    larger,
    smaller,
    reader: readScreen,
  };
  root.addEventListener("click", (event) => {
    const button = (event.target as HTMLElement).closest<HTMLElement>("[data-act]");
    if (!button) return;
    acts[button.dataset["act"] ?? ""]?.(button);
    button.closest("details")?.removeAttribute("open");
  });
  one("[data-act=reader]").setAttribute("aria-pressed", String(settings.screenReader));
  tabs.addEventListener("keydown", moveAlong);
  finder.addEventListener("submit", (event) => {
    event.preventDefault();
    find((event.submitter as HTMLButtonElement | null)?.value === "back");
  });
  finder.addEventListener("keydown", (event) => event.key === "Escape" && closeFinder());
  finder.querySelector("[type=button]")?.addEventListener("click", closeFinder);
  new ResizeObserver(() => here.fitted()).observe(place);
  onTheme(() => panes.forEach((pane) => (pane.terminal.options.theme = theme())));
  window.addEventListener("online", () => here.link.hurry());
  let hiding = 0;
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiding);
    // A tab that nobody sees is slowed down by the browser, and would hold up what writes to it.
    if (document.hidden) hiding = window.setTimeout(() => here.link.stop(), HIDDEN_MS);
    else if (here.now.kind !== "ended") {
      here.link.start();
      here.link.hurry();
    }
  });
  window.setInterval(() => void list(), LIST_MS);
  // The keyboard of a phone covers part of the page; the last line must stay above it.
  const visible = window.visualViewport;
  visible?.addEventListener("resize", () => {
    const covered = window.innerHeight - visible.height * visible.scale;
    root.style.setProperty("--covered", `${Math.max(0, Math.round(covered))}px`);
  });
}

root.hidden = false;
go(new URLSearchParams(location.search).get("session")?.match(/^[A-Za-z0-9._-]{1,64}$/)?.[0] ?? "main");
listen();
window.setTimeout(() => void list(), 300);
