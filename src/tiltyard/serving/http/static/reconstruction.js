// What an autoencoder returns: the row again, an image or the value of each column, with its error and its code.

import { element, formatNumber } from "./element.js";

const MAX_CODE_NUMBERS = 64; // shown; a longer code is cut off

export function reconstruction({ reconstruction: again, code, error }) {
  const heading = element("p", {}, element("strong", { class: "large" }, formatNumber(error, 4)), " error of the reconstruction");
  const shown = Array.isArray(again) ? element("div", { class: "image" }, picture(again)) : columns(again);
  const numbers = code.slice(0, MAX_CODE_NUMBERS).map((number) => formatNumber(number, 3)).join(", ");
  const more = code.length > MAX_CODE_NUMBERS ? `, and ${code.length - MAX_CODE_NUMBERS} more` : "";
  const text = element("p", {}, numbers, more);
  return [heading, shown, element("details", {}, element("summary", {}, `Code of ${code.length} numbers`), text)];
}

export function picture(rows) {
  const [height, width] = [rows.length, rows[0].length];
  const node = element("canvas", { width, height, role: "img", "aria-label": `The reconstruction, ${width} by ${height} pixels` });
  const context = node.getContext("2d");
  const data = context.createImageData(width, height); // a pixel outside of 0 to 255 is clamped
  rows.flat().forEach((pixel, place) => data.data.set([...[pixel, pixel, pixel].flat().slice(0, 3), 255], 4 * place));
  context.putImageData(data, 0, 0);
  return node;
}

export function columns(values) {
  const rows = Object.entries(values).map(([name, value]) => {
    const text = typeof value === "number" ? formatNumber(value, 6) : value === null ? "missing" : String(value);
    return element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, text));
  });
  return element("table", {}, element("tbody", {}, rows));
}
