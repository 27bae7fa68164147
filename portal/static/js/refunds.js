// The queue: which refund is the current one, the drawer beside it, what is selected, and where focus goes after a decision.
const rows = () => $$("#rows > tr");
const drawer = () => $("#drawer");
const shown = () => $("#drawer > [data-refund]")?.dataset.refund;
const rowOf = (id) => (id ? document.getElementById(`refund-${id}`) : null);
const narrow = matchMedia("(width < 860px)");
let awaited = null; // the refund whose drawer was asked for last

function currentRow() {
  return document.activeElement?.closest?.("#rows > tr") ?? rowOf(shown()) ?? null;
}

function focusRow(row) {
  for (const link of $$("#rows .open")) link.tabIndex = -1;
  const link = $(".open", row);
  link.tabIndex = 0;
  link.focus();
  row.scrollIntoView({ block: "nearest" });
}

function tidyRows() {
  const open = shown();
  let stops = 0;
  for (const row of rows()) {
    if (row.dataset.refund === open) row.setAttribute("aria-current", "true");
    else row.removeAttribute("aria-current");
    const link = $(".open", row);
    if (link.tabIndex === 0 && link.hasAttribute("tabindex")) stops += 1;
  }
  if (stops !== 1) {
    const stop = rowOf(open) ?? rows()[0];
    for (const row of rows()) $(".open", row).tabIndex = row === stop ? 0 : -1;
  }
  const covered = narrow.matches && Boolean(open);
  for (const part of $$("#main, .top")) part.inert = covered;
}

function step(by) {
  const all = rows();
  if (!all.length) return;
  const at = all.indexOf(currentRow());
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
  if (!next) return whisper(by > 0 ? "This is the last refund on this page" : "This is the first refund on this page");
  focusRow(next);
  if (shown()) openRow(next, false);
}

function openRow(row, moveIn = true) {
  if (!row) return;
  awaited = moveIn ? row.dataset.refund : null;
  $(".open", row).click();
}

function closeDrawer() {
  const open = shown();
  if (!open) return;
  drawer().replaceChildren();
  const url = $("#list")?.dataset.url;
  if (url) history.replaceState(history.state, "", url);
  document.title = document.title.replace(/^RF-\S+ - /, "");
  tidyRows();
  const row = rowOf(open);
  if (row) focusRow(row);
  else $("#page-title")?.focus();
}

function act(name) {
  const row = currentRow();
  const id = row?.dataset.refund ?? $("[data-refund].detail")?.dataset.refund;
  if (!id) return whisper("Choose a refund first: J and K move through the list");
  const button = document.getElementById(`${name}-${id}`);
  if (button) return button.click();
  if (!row) return undefined;
  const link = $(".open", row);
  const url = new URL(link.href);
  url.pathname += `/${name}`;
  return htmx.ajax("GET", url.pathname + url.search, { target: "#dialog-body", source: row });
}

// What the list address is now, so that closing the drawer can go back to it.
function noteList() {
  const list = $("#list");
  if (list && /\/refunds$/.test(location.pathname)) list.dataset.url = location.pathname + location.search;
}

function pickChanged() {
  const picks = $$("[data-pick]");
  const ids = picks.filter((box) => box.checked).map((box) => box.value);
  const all = $("[data-pick-all]");
  if (all) {
    all.checked = picks.length > 0 && ids.length === picks.length;
    all.indeterminate = ids.length > 0 && ids.length < picks.length;
  }
  if (!ids.length) return $("#selection")?.replaceChildren();
  return htmx.ajax("GET", `/refunds/selection?ids=${ids.join(",")}`, { target: "#selection", source: "#selection", swap: "innerHTML" });
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-pick-all]")) for (const box of $$("[data-pick]")) box.checked = event.target.checked;
  if (event.target.matches("[data-pick], [data-pick-all]")) pickChanged();
  if (event.target.matches("#from, #to, #cur")) event.stopPropagation();
});

document.addEventListener("click", (event) => {
  const on = (selector) => event.target.closest?.(selector);
  if (on("[data-close-drawer]")) closeDrawer();
  if (on("[data-step]")) step(Number(on("[data-step]").dataset.step));
  if (on("[data-pick-none]")) {
    for (const box of $$("[data-pick]")) box.checked = false;
    pickChanged();
    $("#rows .open[tabindex='0']")?.focus();
  }
  if (event.isTrusted && on("#rows .open")) awaited = on("tr").dataset.refund;
});

// A drawer that is already open is turned to another refund: that is not a step to go back through.
document.addEventListener("htmx:before:history:update", (event) => {
  if (shown() && /\/refunds\/[0-9a-f-]{36}/.test(event.detail.history.path)) event.detail.history.type = "replace";
});

document.addEventListener("htmx:after:swap", (event) => {
  const { ctx } = event.detail;
  const id = typeof ctx?.target === "string" ? ctx.target.replace("#", "") : ctx?.target?.id;
  const decided = $("#status [data-decided]");
  if (id === "drawer") {
    const number = $("#drawer #detail-title");
    if (number && awaited === shown()) number.focus();
    awaited = null;
  }
  if (id === "list" || id === "filters") {
    drawer()?.replaceChildren();
    noteList();
    const words = $("#tabs")?.dataset.words;
    if (words) whisper(words);
    pickChanged();
  }
  if (decided) {
    const row = rowOf(decided.dataset.decided);
    delete decided.dataset.decided;
    const next = row?.nextElementSibling ?? row?.previousElementSibling;
    opener = null;
    closeDialog();
    pickChanged();
    tidyRows();
    if (next) focusRow(next);
    else ($("#detail-title") ?? $("#page-title"))?.focus();
  }
  tidyRows();
});

// A refund that is under way asks how it stands, while somebody is there to see it: never behind a dialog, in a hidden tab, or for
// hours in front of an empty chair, since asking keeps the session alive.
const ATTENTIVE = 5 * 60_000;
let pause = 4000;
let stirred = Date.now();
for (const sign of ["pointermove", "keydown", "scroll"]) document.addEventListener(sign, () => { stirred = Date.now(); }, { passive: true, capture: true });
for (const trouble of ["htmx:error", "htmx:response:error"]) document.addEventListener(trouble, () => { pause = 15_000; });
document.addEventListener("htmx:after:swap", () => { pause = 4000; });

function tick() {
  const watched = !document.hidden && !dialogOpen() && Date.now() - stirred < ATTENTIVE;
  if (watched && $("[hx-trigger^=tick]")) document.body.dispatchEvent(new CustomEvent("tick"));
  setTimeout(tick, pause);
}
setTimeout(tick, pause);

narrow.addEventListener("change", tidyRows);
document.addEventListener("DOMContentLoaded", () => { noteList(); tidyRows(); });
document.addEventListener("htmx:after:history:push", noteList);
document.addEventListener("htmx:after:settle", tidyRows);
