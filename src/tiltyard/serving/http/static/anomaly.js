// Whether a row is an anomaly: the flag, its score beside the threshold, and where its errors are.

import { element, formatNumber } from "./element.js";
import { plot } from "./plot.js";

export function anomaly(schema, { score, anomaly: flagged, errors }) {
  const limit = schema.threshold === undefined ? "" : `, ${flagged ? "above" : "not above"} the threshold of ${formatNumber(schema.threshold, 4)}`;
  const heading = element("p", {}, element("strong", { class: "large" }, flagged ? "anomaly" : "normal"), ` score ${formatNumber(score, 4)}${limit}`);
  const shown = Array.isArray(errors) ? (Array.isArray(errors[0]) ? picture(errors) : steps(errors)) : columns(errors);
  return [heading, shown];
}

function picture(rows) {
  const [height, width] = [rows.length, rows[0].length];
  const label = `The squared error of each pixel, ${width} by ${height} pixels; the brightest is the largest`;
  const node = element("canvas", { width, height, role: "img", "aria-label": label });
  const context = node.getContext("2d");
  const data = context.createImageData(width, height);
  const values = rows.flat();
  const largest = Math.max(...values, 1e-9);
  values.forEach((value, place) => data.data.set([255 * Math.sqrt(value / largest), 96 * (value / largest), 0, 255], 4 * place));
  context.putImageData(data, 0, 0);
  return element("div", { class: "image" }, node, element("span", { class: "hint" }, "Errors by pixel: the brighter, the less normal."));
}

function steps(errors) {
  const largest = Math.max(...errors, 1e-9);
  const title = `Squared error of each step; that of the last one is ${formatNumber(errors.at(-1), 3)}`;
  const hint = element("span", { class: "hint" }, `Errors by step, as shares of the largest, ${formatNumber(largest, 3)}.`);
  return element("div", { class: "plot" }, plot({ history: errors.map((error) => error / largest), title }), hint);
}

function columns(errors) {
  const ranked = Object.entries(errors).sort(([, first], [, second]) => second - first);
  const rows = ranked.map(([name, value]) => element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, formatNumber(value, 3))));
  const head = element("tr", {}, element("th", { scope: "col" }, "column"), element("th", { scope: "col" }, "squared error"));
  return element("table", {}, element("thead", {}, head), element("tbody", {}, rows));
}
