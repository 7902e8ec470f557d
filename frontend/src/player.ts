// Replays a recording. What it shows is hostile: text goes into the page as text, and the terminal
// is the player's own, which does nothing but draw.
import "asciinema-player/dist/bundle/asciinema-player.css";
import "./player.css";
import { create, type Marker, type Player } from "asciinema-player";

interface Command { at: number; text: string; ended_at: number | null; exit_code: number | null }
const RELOAD_MS = 2000;
const SPEEDS = ["0.5", "1", "2", "4", "8"];

const place = document.querySelector<HTMLElement>("#player");
const speed = document.querySelector<HTMLSelectElement>("#speed");
const idle = document.querySelector<HTMLInputElement>("#idle");
const list = document.querySelector<HTMLElement>("#commands");
const says = document.querySelector<HTMLElement>("#player-says");
const dark = matchMedia("(prefers-color-scheme: dark)");
let player: Player | undefined;
let text = "";
let commands: Command[] = [];

async function load(): Promise<boolean> {
  const api = place?.dataset.api ?? "";
  const [cast, marked] = await Promise.all([fetch(`${api}/cast`), fetch(`${api}/commands`)]);
  if (!cast.ok) throw new Error(await reason(cast));
  const before = text.length;
  text = await cast.text();
  if (marked.ok) commands = (await marked.json()).items;
  return text.length > before;
}

async function reason(answer: Response): Promise<string> {
  try {
    return (await answer.json()).detail ?? `the server answered ${answer.status}`;
  } catch {
    return `the server answered ${answer.status}`;
  }
}

function show(startAt: number, play: boolean): void {
  if (!place || !text) return;
  player?.dispose();
  place.replaceChildren();
  const markers: Marker[] = commands.map((one) => [one.at, one.text || "command"]);
  player = create({ data: text, parser: "asciicast" }, place, {
    fit: "width",
    preload: true,
    startAt,
    autoPlay: play,
    speed: Number(speed?.value ?? 1),
    ...(idle?.checked ? { idleTimeLimit: 2 } : {}),
    theme: dark.matches ? "alcove-dark" : "alcove-light",
    terminalFontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
    markers,
    controls: true,
  });
  name(place);
  if (place.dataset.live !== undefined) player.addEventListener("ended", () => void more());
  listed();
}

// What the player leaves without a name for who does not see it.
function name(root: HTMLElement): void {
  root.querySelector(".ap-wrapper")?.setAttribute("aria-label", "Replay of the terminal");
  root.querySelector(".ap-wrapper")?.setAttribute("role", "group");
}

// Of a session that goes on: what came meanwhile, from where the replay has got to.
async function more(): Promise<void> {
  const at = player ? await player.getDuration() : 0;
  const look = async (): Promise<void> => {
    try {
      if (await load()) show(at ?? 0, true);
      else setTimeout(() => void look(), RELOAD_MS);
    } catch (error) {
      said(String(error));
    }
  };
  setTimeout(() => void look(), RELOAD_MS);
}

function listed(): void {
  list?.replaceChildren(
    ...commands.map((one) => {
      const button = document.createElement("button");
      button.type = "button";
      const time = document.createElement("time");
      time.textContent = clock(one.at);
      const words = document.createElement("span");
      words.textContent = one.text || "(not said)";
      button.append(time, words);
      if (one.exit_code) {
        const failed = document.createElement("span");
        failed.className = "failed";
        failed.textContent = `exit ${one.exit_code}`;
        button.append(failed);
      }
      button.addEventListener("click", () => void player?.seek(one.at));
      const item = document.createElement("li");
      item.append(button);
      return item;
    }),
  );
}

function clock(seconds: number): string {
  const whole = Math.floor(seconds);
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

function said(words: string): void {
  if (says) says.textContent = words;
}

async function again(): Promise<void> {
  show(player ? await player.getCurrentTime() : 0, true);
}

function faster(by: number): void {
  if (!speed) return;
  const next = SPEEDS[SPEEDS.indexOf(speed.value) + by];
  if (next === undefined) return;
  speed.value = next;
  said(`Speed ${next}×`);
  void again();
}

speed?.addEventListener("change", () => void again());
idle?.addEventListener("change", () => void again());
dark.addEventListener("change", () => void again());
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target instanceof HTMLInputElement || event.target instanceof HTMLSelectElement) return;
  if (event.key === ">") faster(1);
  else if (event.key === "<") faster(-1);
});
load().then(
  () => show(0, false),
  (error: unknown) => said(`This recording cannot be replayed: ${error instanceof Error ? error.message : error}`),
);
