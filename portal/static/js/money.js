// The button that moves money repeats the amount as it is typed; where the amount cannot be read it names none.
function readAmount(input) {
  const locale = document.body.dataset.locale;
  const parts = new Intl.NumberFormat(locale, { minimumFractionDigits: 1 }).formatToParts(12345.6);
  const group = parts.find((part) => part.type === "group")?.value ?? "";
  const point = parts.find((part) => part.type === "decimal")?.value ?? ".";
  const text = input.value.trim();
  const [whole, fraction = "", ...rest] = text.split(point);
  const digits = whole.split(group).join("");
  const spaced = group && whole.includes(group);
  if (rest.length || !/^\d{1,15}$/.test(digits) || !/^\d*$/.test(fraction) || fraction.length > Number(input.dataset.digits)) return null;
  if (spaced && new Intl.NumberFormat(locale).format(Number(digits)) !== whole) return null;
  const value = Number(`${digits}.${fraction || 0}`);
  return value > 0 ? value : null;
}

function showAmount(input) {
  const button = $("[data-submit][data-word]", input.form);
  if (!button) return;
  const value = readAmount(input);
  const money = value && new Intl.NumberFormat(document.body.dataset.locale, { style: "currency", currency: input.dataset.currency }).format(value);
  button.textContent = money ? `${button.dataset.word} ${money}` : `${button.dataset.word} refund`;
}

document.addEventListener("input", (event) => {
  if (event.target.matches?.("[data-amount]")) showAmount(event.target);
});

document.addEventListener("click", (event) => {
  const full = event.target.closest?.("[data-use-full]");
  if (!full) return;
  const input = $("[data-amount]", full.parentElement);
  input.value = full.dataset.useFull;
  showAmount(input);
  input.focus();
});
