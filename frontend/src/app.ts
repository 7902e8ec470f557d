// On every page: live updates, copying, times in the reader's zone, the palette. Every page works
// without it, too.
import "htmx.org";
import { copyButtons } from "./copying";
import { createForm } from "./creating";
import { live } from "./live";
import { logs } from "./logs";
import { palette } from "./palette";
import { times } from "./times";
import { uploads } from "./uploading";

document.documentElement.classList.add("js");

function start(): void {
  prepare(document.body);
  live();
  palette();
  copyButtons();
  createForm();
  logs();
  uploads();
}

// What a swap brought in, too.
function prepare(root: Element): void {
  for (const hidden of root.querySelectorAll<HTMLElement>(".js[hidden]")) hidden.hidden = false;
  times(root);
}

document.addEventListener("htmx:load", (event) => prepare(event.target as Element));
document.addEventListener("htmx:responseError", (event) => {
  const status = (event as CustomEvent).detail?.xhr?.status;
  // Signed out meanwhile, or the thing is gone: the page as it is now says so.
  if (status === 401 || status === 404) location.reload();
});
if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
else start();
