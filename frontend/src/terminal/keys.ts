// The row of keys that a phone's keyboard does not have.

const SENT: Record<string, [plain: string, application?: string]> = {
  Escape: ["\x1b"],
  Tab: ["\t"],
  ArrowLeft: ["\x1b[D", "\x1bOD"],
  ArrowUp: ["\x1b[A", "\x1bOA"],
  ArrowDown: ["\x1b[B", "\x1bOB"],
  ArrowRight: ["\x1b[C", "\x1bOC"],
  Pipe: ["|"],
  Slash: ["/"],
  Tilde: ["~"],
  Dash: ["-"],
};

export class Keys {
  private readonly control: HTMLButtonElement | null;

  constructor(row: HTMLElement, send: (data: string) => void, application: () => boolean) {
    this.control = row.querySelector("[data-key=Control]");
    row.addEventListener("pointerdown", (event) => event.preventDefault()); // the keyboard stays up
    row.addEventListener("click", (event) => {
      const button = (event.target as HTMLElement).closest<HTMLButtonElement>("[data-key]");
      if (!button) return;
      if (button === this.control) {
        this.hold(button.getAttribute("aria-pressed") !== "true");
        return;
      }
      const [plain, other] = SENT[button.dataset["key"] ?? ""] ?? [];
      if (plain) send(application() && other ? other : plain);
    });
  }

  // With Ctrl held, the next key is the control character.
  applied(data: string): string {
    if (this.control?.getAttribute("aria-pressed") !== "true" || data.length !== 1) return data;
    this.hold(false);
    const code = data.toUpperCase().charCodeAt(0);
    return code >= 0x40 && code < 0x60 ? String.fromCharCode(code & 0x1f) : data === " " ? "\0" : data;
  }

  private hold(on: boolean): void {
    this.control?.setAttribute("aria-pressed", String(on));
  }
}
