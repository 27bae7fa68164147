// The monitor: rows by keyboard, and a selection that outlives polls, also of rows that have moved to another page.
const jobRows = () => $$("#job-rows > tr[data-job]");
const onMonitor = () => Boolean($("#job-rows"));
const chosen = new Set();

function currentJob() {
  return document.activeElement?.closest?.("#job-rows > tr[data-job]") ?? null;
}

function stepJob(by) {
  const all = jobRows();
  const at = all.indexOf(currentJob());
  const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : at + by];
  if (!next) return whisper(by > 0 ? "This is the last job on this page" : "This is the first job on this page");
  $(".open", next).focus();
  next.scrollIntoView({ block: "nearest" });
}

function chooseCurrent() {
  const box = currentJob() && $("[data-choose]", currentJob());
  if (!box) return;
  box.checked = !box.checked;
  noteChoice(box);
  showChoice();
}

function noteChoice(box) {
  if (box.checked) chosen.add(box.value);
  else chosen.delete(box.value);
}

function showChoice() {
  const bar = $("#chosen");
  if (!bar) return;
  const boxes = $$("[data-choose]");
  for (const box of boxes) box.checked = chosen.has(box.value);
  const all = $("[data-choose-all]");
  if (all) {
    const here = boxes.filter((box) => box.checked).length;
    all.checked = boxes.length > 0 && here === boxes.length;
    all.indeterminate = here > 0 && here < boxes.length;
  }
  bar.hidden = chosen.size === 0;
  const words = `${chosen.size} selected`;
  if ($("#chosen-words").textContent !== words) $("#chosen-words").textContent = words;
}

document.addEventListener("change", (event) => {
  if (event.target.matches("[data-choose]")) noteChoice(event.target);
  if (event.target.matches("[data-choose-all]")) for (const box of $$("[data-choose]")) { box.checked = event.target.checked; noteChoice(box); }
  if (event.target.matches("[data-choose], [data-choose-all]")) showChoice();
});

document.addEventListener("click", (event) => {
  const several = event.target.closest?.("[data-several]");
  if (several) {
    const ids = [...chosen].slice(0, 200).join(",");
    htmx.ajax("GET", `/jobs/several/${several.dataset.several}?ids=${ids}`, { target: "#dialog-body", source: several });
  }
  if (event.target.closest?.("[data-choose-none]")) {
    chosen.clear();
    showChoice();
    $("#job-rows .open")?.focus();
  }
});

// After an act: the dialog closes, the focus goes back to the row or what has taken its place, and the page asks how things stand.
document.addEventListener("htmx:after:swap", () => {
  const said = $("#status [data-job-done]");
  if (said) {
    delete said.dataset.jobDone;
    const row = opener?.closest?.("#job-rows > tr");
    const id = row?.dataset.job;
    const near = row?.nextElementSibling?.dataset.job ?? row?.previousElementSibling?.dataset.job;
    opener = null;
    closeDialog();
    chosen.clear();
    showChoice();
    const link = document.getElementById(`open-${id}`) ?? document.getElementById(`open-${near}`) ?? $("#page-title");
    link?.focus();
    beat(true);
  }
  if (onMonitor()) showChoice();
});

// What the address of the list filters is told once it has changed: a selection belongs to the list it was made in.
document.addEventListener("htmx:after:history:push", () => {
  chosen.clear();
  showChoice();
});
document.addEventListener("DOMContentLoaded", showChoice);
