// Pages that keep themselves up to date: `#live` asks on each `beat`. It rests in a hidden tab, behind an open dialog, while somebody
// types or has typed, when it is paused, and in front of an empty chair, since asking keeps the session alive.
const BEAT = 2000;
const SLOW = 15_000;
const PRESENT = 15 * 60_000;
const live = { paused: remembered("live") === "paused", at: Date.now(), began: 0, took: 0, troubles: 0, tag: "", url: "", held: null, job: "", moved: Date.now(), timer: 0 };
const asker = () => $("#live[hx-trigger]");

function dirty() {
  const fields = $$("#filters :is(input:not([type=hidden]), select), [data-sheet] :is(input:not([type=hidden]), textarea)");
  return fields.some((field) => field.value !== field.defaultValue && field.type !== "checkbox" && field.tagName !== "SELECT");
}

function typing() {
  const at = document.activeElement;
  return Boolean(at?.closest?.("form:not(#job-picks)") || at?.closest?.("details.chip[open]") || $("details.chip[open]"));
}

const away = () => Date.now() - live.moved > PRESENT;
const resting = () => live.paused || document.hidden || dialogOpen() || typing() || dirty() || away();

function beat(now = false) {
  clearTimeout(live.timer);
  const ask = asker();
  if (ask && !document.hidden && (now || !resting()) && !ask.classList.contains("htmx-request")) document.body.dispatchEvent(new CustomEvent("beat"));
  const pause = live.troubles >= 3 ? SLOW : Math.max(BEAT, 8 * live.took);
  live.timer = setTimeout(beat, pause);
}

const clockOf = (time) => new Date(time).toLocaleTimeString("en-GB");
const since = (time) => {
  const seconds = Math.max(Math.round((Date.now() - time) / 1000), 0);
  return seconds < 60 ? `${seconds} s` : `${Math.floor(seconds / 60)} min`;
};

function showLive() {
  const state = $("#live-state");
  if (!state) return;
  const over = !asker();
  const lost = live.troubles >= 3 && !over;
  const paused = live.paused || away();
  state.dataset.state = lost ? "lost" : over || paused ? "paused" : "live";
  const words = lost ? `Not updating, last ${clockOf(live.at)}.`
    : over ? "Finished"
    : live.paused ? `Paused, updated ${since(live.at)} ago`
    : away() ? `Resting, updated ${since(live.at)} ago`
    : `Live, updated ${since(live.at)} ago`;
  if ($("#live-words").textContent !== words) $("#live-words").textContent = words;
  $("#live-retry").hidden = !lost;
  const toggle = $("#live-toggle");
  toggle.hidden = over;
  const word = live.paused ? "Resume" : "Pause";
  if (toggle.dataset.shown === word) return;
  toggle.dataset.shown = word;
  toggle.setAttribute("aria-label", `${word} live updates`);
  toggle.title = `${word} live updates (P)`;
  $("use", toggle).setAttribute("href", live.paused ? "#i-play" : "#i-pause");
  $(".wide-words", toggle).textContent = word;
}

function toggleLive() {
  if (!asker()) return;
  live.paused = !live.paused;
  remember("live", live.paused ? "paused" : "on");
  whisper(live.paused ? "Live updates are paused" : "Live updates are on");
  showLive();
  if (!live.paused) beat(true);
}

const isPoll = (event) => event.detail?.ctx?.sourceElement?.id === "live";

// What has not changed since the last answer is not sent again. An answer that comes after the list was turned to something else is dropped.
document.addEventListener("htmx:config:request", (event) => {
  if (!isPoll(event)) return;
  const { request } = event.detail.ctx;
  const url = request.action;
  if (live.url === url && live.tag) request.headers["HX-PTag"] = live.tag;
  live.url = url;
  live.began = performance.now();
});

document.addEventListener("htmx:after:request", (event) => {
  if (!isPoll(event)) return;
  const { response } = event.detail.ctx;
  live.took = performance.now() - live.began;
  if (response.status === 404) asker()?.removeAttribute("hx-trigger"); // deleted meanwhile: said once, and not asked for again
  else if (response.status >= 400) {
    live.troubles += 1;
    if (response.status !== 401) event.preventDefault();
  } else {
    const asked = asker()?.getAttribute("hx-get");
    if (asked && asked !== live.url) return void event.preventDefault();
    live.troubles = 0;
    live.held = document.activeElement;
    live.job = live.held?.closest?.("[data-job]")?.dataset.job;
    live.at = Date.now();
    live.tag = response.headers.get("HX-PTag") ?? "";
  }
  showLive();
});

document.addEventListener("htmx:error", (event) => {
  if (!isPoll(event)) return;
  live.troubles += 1;
  live.took = 0;
  event.stopImmediatePropagation();
  showLive();
}, true);

// What had the focus may be gone, as a job's Cancel is when it has ended: the job itself has it then.
function keepFocus() {
  if (!live.held || live.held.isConnected) return;
  live.held = null;
  if (document.activeElement === document.body) (document.getElementById(`open-${live.job}`) ?? $("#page-title"))?.focus();
}

document.addEventListener("htmx:after:swap", (event) => {
  keepFocus();
  if (isPoll(event)) return;
  live.tag = "";
  live.at = Date.now();
});

for (const sign of ["pointermove", "pointerdown", "keydown", "scroll"]) {
  document.addEventListener(sign, () => { live.moved = Date.now(); }, { passive: true, capture: true });
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) beat(); });
document.addEventListener("click", (event) => {
  if (event.target.closest?.("#live-toggle")) toggleLive();
  if (event.target.closest?.("#live-retry")) beat(true);
});
document.addEventListener("DOMContentLoaded", () => {
  if (!asker()) return;
  showLive();
  setInterval(showLive, 1000);
  live.timer = setTimeout(beat, BEAT);
});
