// The form that creates a workspace: presets fill it in, and what is wrong is said in place.
export function createForm(): void {
  const form = document.querySelector<HTMLFormElement>("[data-create]");
  if (!form) return;
  form.noValidate = true;
  form.addEventListener("input", (event) => {
    const input = event.target as HTMLInputElement;
    if (input.getAttribute("aria-invalid") === "true") say(input);
  });
  form.addEventListener("focusout", (event) => {
    const input = event.target;
    if (input instanceof HTMLInputElement && input.value) say(input);
  });
  form.addEventListener("submit", (event) => {
    const wrong = [...form.querySelectorAll<HTMLInputElement>("input[name], textarea[name]")].filter(
      (input) => !say(input),
    );
    if (!wrong[0]) return;
    event.preventDefault();
    wrong[0].closest("details")?.setAttribute("open", "");
    wrong[0].focus();
  });
  for (const chip of form.querySelectorAll<HTMLElement>("[data-preset]"))
    chip.addEventListener("click", (event) => {
      event.preventDefault();
      fill(form, JSON.parse(chip.dataset.preset ?? "{}") as Record<string, unknown>);
      for (const other of form.querySelectorAll("[data-preset]")) {
        other.classList.toggle("on", other === chip);
        if (other === chip) other.setAttribute("aria-current", "true");
        else other.removeAttribute("aria-current");
      }
    });
}

// The browser's own rules, and the template's expression; the server has the last word.
function say(input: HTMLInputElement | HTMLTextAreaElement): boolean {
  const fault = document.getElementById(`${input.name}-fault`);
  if (!fault) return true;
  let said = "";
  if (!input.validity.valid) said = input.validationMessage;
  else if (input.value && input.dataset.pattern && !matches(input.dataset.pattern, input.value))
    said = `must match ${input.dataset.pattern}`;
  fault.textContent = said;
  fault.hidden = !said;
  input.closest(".field")?.classList.toggle("wrong", !!said);
  if (said) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
  return !said;
}

function matches(pattern: string, value: string): boolean {
  try {
    return new RegExp(`^(?:${pattern})$`, "u").test(value);
  } catch {
    return true; // RE2 knows a few things that browsers write otherwise.
  }
}

function fill(form: HTMLFormElement, values: Record<string, unknown>): void {
  for (const [name, value] of Object.entries(values)) {
    const text = Array.isArray(value) ? value.join("\n") : String(value);
    const input = form.querySelector<HTMLInputElement>(`[id="parameters.${CSS.escape(name)}"]`);
    if (!input) continue;
    if (input.type === "checkbox") input.checked = value === true;
    else input.value = text;
    say(input);
  }
  form.dispatchEvent(new Event("change", { bubbles: true }));
}
