// Files that were chosen are put into the directory that is shown.
import { toast } from "./copying";

export function uploads(): void {
  const input = document.querySelector<HTMLInputElement>("[data-upload]");
  input?.addEventListener("change", () => void upload(input));
}

async function upload(input: HTMLInputElement): Promise<void> {
  const at = (input.dataset.at ?? "~").replace(/\/$/, "");
  for (const file of input.files ?? []) {
    toast(`Uploading ${file.name}`);
    const path = encodeURIComponent(`${at}/${file.name}`);
    const headers = { "Content-Type": "application/octet-stream" };
    const answer = await fetch(`${input.dataset.upload}?path=${path}`, { method: "PUT", headers, body: file });
    if (answer.ok) continue;
    const problem = (await answer.json().catch(() => ({}))) as { detail?: string };
    toast(`${file.name}: ${problem.detail ?? answer.status}`);
    return;
  }
  location.reload();
}
