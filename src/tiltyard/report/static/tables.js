// Tables sorted by a click on a heading, and a text field that filters rows.
"use strict";

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  if (body.rows.length < 2) return;
  heads.forEach((head, column) => {
    const button = htmlElement("button", { type: "button" }, ...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...body.rows].sort((one, other) => order(one.cells[column], other.cells[column]) * (down ? -1 : 1));
      body.append(...rows);
    });
  });
}

function order(one, other) {
  const [a, b] = [one, other].map((cell) => cell.dataset.value ?? cell.textContent);
  if (a === "" || b === "") return (a === "") - (b === "");
  const [x, y] = [Number(a), Number(b)];
  return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
}

function filter(field) {
  const rows = [...document.getElementById(field.dataset.of).tBodies[0].rows];
  field.addEventListener("input", () => {
    const wanted = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !wanted.every((word) => row.textContent.toLowerCase().includes(word));
  });
}

document.querySelectorAll("table:not(.plain)").forEach(sortable);
document.querySelectorAll("input.filter").forEach(filter);
