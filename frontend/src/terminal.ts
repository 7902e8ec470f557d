// The web terminal.
import "@xterm/xterm/css/xterm.css";
export {};
