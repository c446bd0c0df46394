// Filters the sample cards. Without it every card is shown.
"use strict";
const filters = document.querySelector(".filters");

function apply() {
  const { benchmark, attack, variant, changed } = Object.fromEntries(
    [...filters.querySelectorAll("[name]")].map((field) => [
      field.name,
      field.type === "checkbox" ? field.checked : field.value,
    ]),
  );
  let shown = 0;
  for (const card of document.querySelectorAll(".card")) {
    card.hidden =
      (benchmark !== "" && card.dataset.benchmark !== benchmark) ||
      (attack !== "" && card.dataset.attack !== attack) ||
      (changed && card.dataset.changed !== "yes");
    shown += Number(!card.hidden);
  }
  for (const column of document.querySelectorAll(".card .column")) {
    column.hidden = variant !== "" && column.dataset.variant !== variant;
  }
  filters.querySelector("output").textContent = shown === 1 ? "1 prompt" : `${shown} prompts`;
}

if (filters !== null) {
  filters.hidden = false;
  filters.querySelector("[name=benchmark]").value = filters.dataset.first;
  filters.addEventListener("change", apply);
  apply();
}
