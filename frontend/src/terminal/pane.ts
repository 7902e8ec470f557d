// One terminal on the page: its screen, and what of a program's wishes is granted.
//
// What runs in a workspace is not trusted: it may not write to the clipboard, a link is opened only
// after its real address was shown, and titles are bounded.
import { FitAddon } from "@xterm/addon-fit";
import { SearchAddon } from "@xterm/addon-search";
import { WebLinksAddon } from "@xterm/addon-web-links";
import { type IDisposable, Terminal } from "@xterm/xterm";

import { blink } from "./cursor";
import { Link, type Screen, type State, type View } from "./link";
import type { Settings } from "./settings";
import { theme } from "./theme";

const TITLE_MAX = 80;

export interface Around {
  // A key that is the page's, not the terminal's; true if it was taken.
  key(event: KeyboardEvent): boolean;
  // What is typed, with a key of the extra row that is held.
  typed(data: string): string;
  follow(address: string): void;
  changed(pane: Pane): void;
}

export class Pane implements Screen {
  readonly element = document.createElement("div");
  readonly search = new SearchAddon();
  readonly link: Link;
  readonly terminal: Terminal;
  now: State = { kind: "connecting" };
  seen: View | null = null;
  title = "";
  rang = false;
  private readonly fit = new FitAddon();
  private replaying = 0;

  constructor(
    workspace: string,
    readonly session: string,
    settings: Settings,
    private readonly around: Around,
    running: boolean,
  ) {
    this.element.className = "pane";
    this.terminal = new Terminal({
      allowProposedApi: true,
      cursorBlink: !window.matchMedia("(prefers-reduced-motion: reduce)").matches,
      fontFamily: 'ui-monospace, "Cascadia Mono", "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace',
      fontSize: settings.fontSize,
      linkHandler: { activate: (_, address) => around.follow(address), allowNonHttpProtocols: false },
      macOptionIsMeta: true,
      minimumContrastRatio: 4.5,
      screenReaderMode: settings.screenReader,
      scrollback: 10_000,
      theme: theme(),
    });
    this.link = new Link(workspace, session, this, running);
    this.terminal.loadAddon(this.fit);
    this.terminal.loadAddon(this.search);
    this.terminal.loadAddon(new WebLinksAddon((_, address) => around.follow(address)));
    this.terminal.attachCustomKeyEventHandler((event) => !around.key(event));
    this.terminal.onData((data) => {
      if (this.now.kind === "ended") {
        if (data === "\r") this.link.start();
      } else this.link.type(around.typed(data));
    });
    this.terminal.onBinary((data) => this.link.type(data));
    this.terminal.onBell(() => {
      this.rang = !this.element.isConnected || document.hidden;
      around.changed(this);
    });
    this.terminal.onTitleChange((title) => {
      this.title = title.slice(0, TITLE_MAX);
      around.changed(this);
    });
    blink(this.terminal, this.element);
    this.refuse();
  }

  // Put it on the page and connect; what it showed before is still there.
  enter(place: HTMLElement): void {
    place.replaceChildren(this.element);
    if (!this.terminal.element) this.terminal.open(this.element);
    this.rang = false;
    this.fitted();
    if (this.now.kind !== "ended") this.link.start();
  }

  leave(): void {
    this.link.stop();
    this.element.remove();
  }

  dispose(): void {
    this.leave();
    this.terminal.dispose();
  }

  // Tell the server how much fits here; how large the terminal is comes back from there.
  fitted(): void {
    const size = this.fit.proposeDimensions();
    if (!size || !Number.isFinite(size.cols) || !Number.isFinite(size.rows)) return;
    const cols = Math.min(1000, Math.max(2, size.cols));
    const rows = Math.min(1000, Math.max(1, size.rows));
    this.link.resize({ cols, rows });
    if (!this.link.open) this.terminal.resize(cols, rows);
  }

  reset(modes: string): void {
    // As output, so that it comes after what is still being written.
    this.terminal.write(`\x1bc${modes}`);
  }

  show(bytes: Uint8Array, past: boolean, done: () => void): void {
    if (past) this.terminal.write("", () => (this.replaying += 1));
    this.terminal.write(bytes, () => {
      if (past) this.replaying -= 1;
      done();
    });
  }

  view(view: View): void {
    this.seen = view;
    this.terminal.resize(view.cols, view.rows);
    this.around.changed(this);
  }

  state(state: State): void {
    this.now = state;
    this.around.changed(this);
  }

  full(): void {
    this.around.changed(this);
  }

  // Answers to what programs ask come from one viewer, and not for what was asked in the past.
  private refuse(): void {
    const { parser } = this.terminal;
    const quiet = () => this.replaying > 0 || this.seen?.leads === false;
    const csi = (id: { prefix?: string; intermediates?: string; final: string }): IDisposable =>
      parser.registerCsiHandler(id, quiet);
    csi({ final: "c" });
    csi({ prefix: ">", final: "c" });
    csi({ final: "n" });
    csi({ prefix: "?", final: "n" });
    csi({ intermediates: "$", final: "p" });
    csi({ prefix: "?", intermediates: "$", final: "p" });
    csi({ final: "t" });
    parser.registerDcsHandler({ intermediates: "$", final: "q" }, quiet);
    for (const colour of [4, 10, 11, 12]) parser.registerOscHandler(colour, (data) => data.includes("?") && quiet());
    parser.registerOscHandler(52, () => true);
  }
}
