// What every page has: the theme, dialogs, copying, and words for what the server could not say.
const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];
const remembered = (name) => { try { return localStorage.getItem(name); } catch { return null; } };
const remember = (name, value) => { try { localStorage.setItem(name, value); } catch { /* closed to us */ } };

function say(text) {
  const line = document.createElement("p");
  line.textContent = text;
  $("#status")?.replaceChildren(line);
}

function whisper(text) {
  const line = document.createElement("span");
  line.className = "quiet";
  line.textContent = text;
  $("#status")?.replaceChildren(line);
}

function alertAbout(title, text) {
  const box = document.createElement("div");
  box.className = "notice notice--danger";
  const body = document.createElement("div");
  const strong = document.createElement("strong");
  strong.textContent = title;
  body.append(strong, text);
  box.append(body);
  const place = $("#dialog[open] #refusal") ?? $("#alerts");
  place?.replaceChildren(box);
  return body;
}

function toggleTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  remember("theme", root.dataset.theme);
  showTheme();
}

function showTheme() {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  for (const use of $$("[data-theme-toggle] use")) use.setAttribute("href", dark ? "#i-sun" : "#i-moon");
}

const dialog = () => $("#dialog");
const dialogOpen = () => Boolean(dialog()?.open);
let opener = null;

function openDialog() {
  const box = dialog();
  if (!box || !$("#dialog-body").childElementCount) return;
  if (!box.open) {
    opener = document.activeElement;
    box.showModal();
  }
  const wrong = $("[aria-invalid=true], #refusal .notice, .notice[role=alert]", box);
  const first = $(".sheet__body :is(input:not([type=hidden], [readonly], [type=checkbox]), textarea, select)", box);
  const goal = wrong ?? first ?? $("#dialog-title", box);
  if (!goal) return;
  if (!goal.matches("input, textarea, select, [tabindex]")) goal.tabIndex = -1;
  goal.focus();
  if (goal.matches("[data-amount]")) goal.select();
}

function closeDialog() {
  if (dialogOpen()) dialog().close();
}

document.addEventListener("close", (event) => {
  if (event.target.id !== "dialog") return;
  $("#dialog-body").replaceChildren();
  if (opener?.isConnected) opener.focus();
  opener = null;
}, true);

document.addEventListener("htmx:after:swap", (event) => {
  const target = event.detail.ctx?.target;
  const id = typeof target === "string" ? target : target?.id;
  if (id === "dialog-body" || id === "#dialog-body") openDialog();
});

document.addEventListener("click", (event) => {
  const on = (selector) => event.target.closest?.(selector);
  if (on("[data-theme-toggle]")) toggleTheme();
  if (on("[data-close-dialog]")) closeDialog();
  if (on("[data-dismiss]")) on(".notice").remove();
  if (on("[data-stay-signed-in]")) staySignedIn(on("[data-stay-signed-in]"));
  const copy = on("[data-copy]");
  if (copy) {
    navigator.clipboard?.writeText(copy.dataset.copy).then(() => say("Copied"), () => say("The browser did not allow copying"));
  }
  for (const chip of $$("details.chip[open]")) if (!chip.contains(event.target)) chip.open = false;
  if (event.target === dialog()) closeDialog();
});

// htmx takes up what it has put into the page a moment after it can be seen. Whoever is quicker than that would follow the link to a
// page of its own, or send the form the plain way, so what is used before its time is taken up at once.
for (const use of ["click", "submit"]) {
  document.addEventListener(use, (event) => {
    const element = event.target.closest?.("[hx-get], [hx-post]");
    if (element) htmx.process(element);
  }, true);
}

// Blank fields say nothing, so they stay out of the address.
document.addEventListener("htmx:config:request", (event) => {
  const { request } = event.detail.ctx;
  if (request.method !== "GET" || !request.body) return;
  for (const [name, value] of [...request.body.entries()]) if (value === "") request.body.delete(name);
});

document.addEventListener("htmx:error", (event) => {
  if (!event.detail.ctx?.request) return;
  const asked = event.detail.ctx.request.method === "GET";
  alertAbout("No answer from the server", asked
    ? "Check the connection and try again."
    : "It is not known whether this arrived. Send it again as it is: the same form counts only once.");
});

// A session that rests too long ends. Whoever still reads is told in time, and can go on with one press.
const WARNED_BEFORE = 3 * 60_000;
let answered = Date.now();
document.addEventListener("htmx:after:request", () => { answered = Date.now(); });

async function staySignedIn(button) {
  const answer = await fetch(document.body.dataset.stay, { headers: { "HX-Request-Type": "partial" } }).catch(() => null);
  if (answer?.ok) {
    answered = Date.now();
    button.closest(".notice").remove();
    say("You stay signed in");
  } else alertAbout("You are signed out", "Sign in again to go on.");
}

setInterval(() => {
  const idle = Number(document.body.dataset.idle) * 1000;
  if (!idle || Date.now() - answered < idle - WARNED_BEFORE || $("[data-stay-signed-in]")) return;
  const place = alertAbout("You will be signed out in 2 minutes", "Nothing has been asked of the portal for a while. ");
  const button = document.createElement("button");
  button.type = "button";
  button.className = "link-button";
  button.dataset.staySignedIn = "";
  button.textContent = "Stay signed in";
  place?.append(button);
}, 15_000);

document.addEventListener("DOMContentLoaded", showTheme);
document.addEventListener("htmx:after:settle", showTheme);
