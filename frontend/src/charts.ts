// Small charts of what a workspace uses, kept up while they are looked at.
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";

const EVERY_MS = 5000;
const HEIGHT = 96;

interface Usage {
  at: number[];
  cpu: number[];
  memory: number[];
}

interface Drawn {
  plot: uPlot;
  of: "cpu" | "memory";
}

function draw(target: HTMLElement, of: "cpu" | "memory", found: Usage): Drawn {
  const style = getComputedStyle(document.documentElement);
  const probe = document.createElement("span");
  const colour = (name: string) => {
    probe.style.color = style.getPropertyValue(name);
    document.body.append(probe);
    const shown = getComputedStyle(probe).color;
    probe.remove();
    return shown;
  };
  const accent = colour("--accent");
  const plot = new uPlot(
    {
      width: target.clientWidth,
      height: HEIGHT,
      legend: { show: false },
      cursor: { y: false, points: { size: 6 } },
      padding: [6, 4, 0, 0],
      scales: { y: { range: (_, __, most) => [0, Math.max(of === "cpu" ? 0.5 : 64, most * 1.15)] } },
      axes: [
        { stroke: colour("--meta"), grid: { show: false }, ticks: { show: false }, size: 20, font: "11px system-ui", values: clock },
        { stroke: colour("--meta"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, size: 62, font: "11px system-ui", space: 28, values: (_, all) => all.map((one) => said(of, one)) },
      ],
      series: [{}, { stroke: accent, width: 1.5, fill: accent.replace(/\)$/, " / 12%)"), points: { show: false } }],
    },
    [found.at, found[of]],
    target,
  );
  return { plot, of };
}

function clock(_: uPlot, all: number[]): string[] {
  return all.map((one) => new Date(one * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" }));
}

function said(of: string, value: number): string {
  if (of === "cpu") return `${Math.round(value * 100)} %`;
  return value >= 1024 ? `${(value / 1024).toFixed(1)} GiB` : `${Math.round(value)} MiB`;
}

async function start(root: HTMLElement): Promise<void> {
  const drawn: Drawn[] = [];
  const look = async () => {
    if (document.hidden) return;
    const answer = await fetch(root.dataset.usage ?? "");
    if (!answer.ok) return;
    const found = (await answer.json()) as Usage;
    root.hidden = found.at.length < 2;
    if (root.hidden) return;
    if (!drawn.length)
      for (const target of root.querySelectorAll<HTMLElement>("[data-chart]"))
        drawn.push(draw(target, target.dataset.chart === "memory" ? "memory" : "cpu", found));
    for (const { plot, of } of drawn) plot.setData([found.at, found[of]]);
    for (const label of root.querySelectorAll<HTMLElement>("[data-now]"))
      label.textContent = said(label.dataset.now ?? "", found[label.dataset.now === "memory" ? "memory" : "cpu"].at(-1) ?? 0);
  };
  await look();
  setInterval(() => void look(), EVERY_MS);
  new ResizeObserver(() => {
    for (const { plot } of drawn) plot.setSize({ width: plot.root.parentElement?.clientWidth ?? 300, height: HEIGHT });
  }).observe(root);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
    for (const { plot } of drawn.splice(0)) plot.destroy();
    void look();
  });
}

const root = document.querySelector<HTMLElement>("[data-usage]");
if (root) void start(root);
