// The data of a plot as a CSV file, and its drawing as an SVG file.
"use strict";

const STYLES = ["fill", "fill-opacity", "stroke", "stroke-width", "stroke-dasharray", "stroke-opacity", "opacity", "font-size", "font-family", "font-weight"];

function addDownloads(tools, figure, table) {
  const name = (figure.querySelector("h3")?.textContent ?? "plot").replace(/[^\p{L}\p{N}]+/gu, "-").toLowerCase().slice(0, 60);
  const add = (kind, content, type) => {
    const button = htmlElement("button", { type: "button", "aria-label": `${kind} of ${figure.querySelector("h3")?.textContent ?? "the plot"}` }, kind);
    button.addEventListener("click", () => saveFile(`${name}.${kind.toLowerCase()}`, content(), type));
    tools.append(button);
  };
  if (table) add("CSV", () => csvText(table()), "text/csv");
  add("SVG", () => svgText(figure.querySelector(".plot svg")), "image/svg+xml");
}

function saveFile(name, content, type) {
  const address = URL.createObjectURL(new Blob([content], { type }));
  htmlElement("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

function csvText([columns, rows]) {
  return [columns, ...rows].map((row) => row.map(csvCell).join(",")).join("\r\n") + "\r\n";
}

// A spreadsheet would read a text such as "=1+1" as a formula.
function csvCell(value) {
  if (typeof value === "number" || value === null || value === undefined) return String(value ?? "");
  const text = /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// The drawing with the styles that it has on the page, which a file of its own would lack.
function svgText(svg) {
  const copy = svg.cloneNode(true);
  const { width, height } = svg.getBoundingClientRect();
  for (const [name, value] of [["xmlns", SVG], ["width", width], ["height", height]]) copy.setAttribute(name, value);
  const [shown, copies] = [svg, copy].map((one) => [...one.querySelectorAll("*")]);
  shown.forEach((one, place) => {
    const look = getComputedStyle(one);
    copies[place].removeAttribute("class");
    for (const name of STYLES) copies[place].style.setProperty(name, look.getPropertyValue(name));
  });
  const paper = getComputedStyle(svg.closest("section") ?? document.body).backgroundColor;
  copy.prepend(svgElement("rect", { width: "100%", height: "100%", fill: paper }));
  return new XMLSerializer().serializeToString(copy);
}
