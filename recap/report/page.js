// Filters the sample cards by benchmark and variant. Without it every card is shown.
"use strict";
const filters = document.querySelector(".filters");
const choice = { benchmark: "", variant: "" };

function apply() {
  for (const card of document.querySelectorAll(".card")) {
    card.hidden = choice.benchmark !== "" && card.dataset.benchmark !== choice.benchmark;
  }
  for (const column of document.querySelectorAll(".card .column")) {
    column.hidden = choice.variant !== "" && column.dataset.variant !== choice.variant;
  }
  for (const button of filters.querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(choice[button.dataset.kind] === button.value));
  }
}

if (filters !== null) {
  filters.hidden = false;
  filters.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button === null) return;
    choice[button.dataset.kind] = button.value;
    apply();
  });
  choice.benchmark = filters.dataset.first;
  apply();
}
