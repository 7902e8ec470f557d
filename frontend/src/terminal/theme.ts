// The terminal's colours, for light and dark; the text on them is kept readable by xterm.js itself.
import type { ITheme } from "@xterm/xterm";

const light: ITheme = {
  background: "#ffffff",
  foreground: "#1f2230",
  cursor: "#4a4fcf",
  cursorAccent: "#ffffff",
  selectionBackground: "#c9cdf5",
  black: "#1f2230",
  red: "#b3261e",
  green: "#1a7a3c",
  yellow: "#8a5a00",
  blue: "#2a56c6",
  magenta: "#8a2da5",
  cyan: "#00707a",
  white: "#d5d8e2",
  brightBlack: "#5c6175",
  brightRed: "#c93a31",
  brightGreen: "#238a49",
  brightYellow: "#9a6700",
  brightBlue: "#3b6ae0",
  brightMagenta: "#a044bd",
  brightCyan: "#0a8590",
  brightWhite: "#eef0f6",
};

const dark: ITheme = {
  background: "#14151c",
  foreground: "#e4e6ef",
  cursor: "#a9adff",
  cursorAccent: "#14151c",
  selectionBackground: "#3a3f73",
  black: "#2a2d3a",
  red: "#ff8f86",
  green: "#7ddc98",
  yellow: "#f0c674",
  blue: "#8fb2ff",
  magenta: "#d9a2f0",
  cyan: "#74d7df",
  white: "#c8cbd8",
  brightBlack: "#8a8fa5",
  brightRed: "#ffb1aa",
  brightGreen: "#a3ecb7",
  brightYellow: "#ffdf9e",
  brightBlue: "#b5ccff",
  brightMagenta: "#e8c3f7",
  brightCyan: "#a3ebf0",
  brightWhite: "#ffffff",
};

const darkWanted = window.matchMedia("(prefers-color-scheme: dark)");

export const theme = (): ITheme => (darkWanted.matches ? dark : light);

export const onTheme = (change: () => void): void => darkWanted.addEventListener("change", change);
