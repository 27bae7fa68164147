// Single keys. They never move money: `a` and `r` open a form, and a form is sent with Ctrl+Enter or its button.
const keysOn = () => remembered("keys") !== "off";

function heldBack(event) {
  if (event.isComposing || event.repeat && !/^[jk]$/.test(event.key)) return true;
  if (event.ctrlKey || event.metaKey || event.altKey) return true;
  return Boolean(event.target.closest?.("input:not([type=checkbox]), textarea, select, [contenteditable]"));
}

const whenFree = (does) => (event) => {
  if (!keysOn() || dialogOpen()) return;
  event.preventDefault();
  does(event);
};

const follow = (selector) => whenFree(() => $(selector)?.click());

tinykeys.tinykeys(window, {
  "g r": follow(".nav a[href='/refunds']"), // before `r` alone, which would otherwise answer first
  "g j": follow(".nav a[href='/jobs']"),
  "g h": follow(".nav a[href='/system/health']"),
  "g b": follow(".nav a[href='/system/backups']"),
  j: whenFree(() => (onMonitor() ? stepJob(1) : step(1))),
  k: whenFree(() => (onMonitor() ? stepJob(-1) : step(-1))),
  o: whenFree(() => (onMonitor() ? currentJob() && $(".open", currentJob()).click() : openRow(currentRow()))),
  p: whenFree(toggleLive),
  a: whenFree(() => act("approve")),
  r: whenFree(() => act("reject")),
  x: whenFree(() => {
    if (onMonitor()) return chooseCurrent();
    const box = currentRow() && $("[data-pick]", currentRow());
    if (!box) return undefined;
    box.checked = !box.checked;
    return pickChanged();
  }),
  t: whenFree(toggleTheme),
}, { ignore: heldBack });

// By what the key says rather than where it sits, since brackets and slashes move about between keyboards.
document.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    const form = event.target.closest?.("[data-sheet] form");
    const button = form && $("[data-submit]", form);
    if (button && !button.disabled) {
      event.preventDefault();
      form.requestSubmit(button);
    }
    return;
  }
  if (event.key === "Escape" && !dialogOpen()) {
    const chip = $("details.chip[open]");
    if (chip) {
      chip.open = false;
      $("summary", chip).focus();
    } else if (!event.target.closest?.("input, textarea, select")) closeDrawer();
    else event.target.blur();
    return;
  }
  if (heldBack(event)) return;
  if (event.key === "/") whenFree(() => $("#q")?.focus())(event);
  if (event.key === "?") follow("[data-help]")(event);
  if (event.key === "[") follow("[data-page=previous]")(event);
  if (event.key === "]") follow("[data-page=next]")(event);
  if (event.key === "ArrowDown" && event.target.closest?.("#rows")) whenFree(() => step(1))(event);
  if (event.key === "ArrowDown" && event.target.closest?.("#job-rows")) whenFree(() => stepJob(1))(event);
  if (event.key === "ArrowUp" && event.target.closest?.("#job-rows")) whenFree(() => stepJob(-1))(event);
  if (event.key === "ArrowUp" && event.target.closest?.("#rows")) whenFree(() => step(-1))(event);
});

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-keys-switch]")) {
    remember("keys", event.target.checked ? "on" : "off");
    showKeys();
  }
});

function showKeys() {
  for (const box of $$("[data-keys-switch]")) {
    box.checked = keysOn();
    box.parentElement.lastChild.textContent = keysOn() ? "Single-key shortcuts are on" : "Single-key shortcuts are off";
  }
}

document.addEventListener("DOMContentLoaded", showKeys);
document.addEventListener("htmx:after:settle", showKeys);
