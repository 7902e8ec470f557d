// What a reader chose, kept in this browser.
const KEY = "alcove-terminal";
export const FONT_MIN = 8;
export const FONT_MAX = 32;

export interface Settings {
  fontSize: number;
  screenReader: boolean;
}

export function read(): Settings {
  const settings = { fontSize: 14, screenReader: false };
  try {
    const kept = JSON.parse(localStorage.getItem(KEY) ?? "{}") as Partial<Settings>;
    const size = Number(kept.fontSize);
    if (size >= FONT_MIN && size <= FONT_MAX) settings.fontSize = size;
    settings.screenReader = kept.screenReader === true;
  } catch {
    // Nothing was kept, or nothing may be.
  }
  return settings;
}

export function keep(settings: Settings): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(settings));
  } catch {
    // It is forgotten with the page, then.
  }
}
