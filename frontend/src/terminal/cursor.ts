// A cursor that blinks without an animation. While an animation runs the next frame is always due,
// and after a key a browser shows that frame before it hands on what came from the network: the
// echo of each key was shown a frame later than it need be.
import type { Terminal } from "@xterm/xterm";

const HALF_MS = 500;
const REST_MS = 10_000;

// While it has the focus, until nothing has happened for a while. It is lit again where it is moved
// to, and not by the key itself: that would make a frame due as well.
export function blink(terminal: Terminal, element: HTMLElement): void {
  let timer = 0;
  let left = 0;
  const lit = (on: boolean) => {
    if (element.classList.contains("unlit") === on) element.classList.toggle("unlit", !on);
  };
  const rest = () => {
    clearInterval(timer);
    lit(true);
  };
  const turn = () => {
    left -= 1;
    if (left > 0) lit(element.classList.contains("unlit"));
    else rest();
  };
  const begin = () => {
    rest();
    left = REST_MS / HALF_MS;
    timer = window.setInterval(turn, HALF_MS);
  };
  element.addEventListener("focusin", begin);
  element.addEventListener("focusout", rest);
  terminal.onCursorMove(() => element.contains(document.activeElement) && begin());
  terminal.onKey(() => (left = REST_MS / HALF_MS));
}
