"use strict";
// Tables sort by a click on a column's head: numbers by data-value, empty cells last.
for (const head of document.querySelectorAll("th button")) {
  head.addEventListener("click", () => {
    const cell = head.parentElement, row = cell.parentElement;
    const place = [...row.children].indexOf(cell);
    const up = cell.getAttribute("aria-sort") !== "ascending";
    for (const other of row.children) other.removeAttribute("aria-sort");
    cell.setAttribute("aria-sort", up ? "ascending" : "descending");
    const body = row.closest("table").tBodies[0];
    const key = line => {
      const { dataset, textContent } = line.children[place];
      return "value" in dataset ? dataset.value : textContent.trim();
    };
    const numeric = [...body.rows].every(line => "value" in line.children[place].dataset);
    const compare = (a, b) => {
      const x = key(a), y = key(b);
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = numeric ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
      return up ? order : -order;
    };
    body.append(...[...body.rows].sort(compare));
  });
}
// A legend's entry, pressed or pointed at, stands out in all charts of its section.
for (const legend of document.querySelectorAll(".legend")) {
  const section = legend.closest("section"), entries = legend.querySelectorAll("button");
  let pressed = null;
  const light = series => {
    for (const drawn of section.querySelectorAll("svg .series")) {
      drawn.classList.toggle("faded", series !== null && drawn.dataset.series !== series);
    }
  };
  for (const entry of entries) {
    const series = entry.dataset.series;
    entry.addEventListener("pointerenter", () => light(series));
    entry.addEventListener("pointerleave", () => light(pressed));
    entry.addEventListener("click", () => {
      pressed = pressed === series ? null : series;
      for (const other of entries) {
        other.setAttribute("aria-pressed", String(other.dataset.series === pressed));
      }
      light(pressed);
    });
  }
}
for (const button of document.querySelectorAll(".copy")) {
  if (!navigator.clipboard) { button.remove(); continue; }
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.previousElementSibling.querySelector("code").textContent);
    button.textContent = "copied";
  });
}
// Printed, everything is open.
addEventListener("beforeprint", () => {
  for (const part of document.querySelectorAll("details")) part.open = true;
});
