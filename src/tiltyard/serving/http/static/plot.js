// Plot of a series as a line, followed by its forecast with interval.

import { svgElement, formatNumber } from "./element.js";

const [WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM] = [300, 130, 40, 8, 8, 20];

export function plot({ history, forecast = [], low = [], high = [], title = "" }) {
  const values = [...history, ...forecast, ...low, ...high];
  const [minimum, maximum] = [Math.min(...values), Math.max(...values)];
  const last = history.length + forecast.length - 1;
  const x = (step) => LEFT + ((WIDE - LEFT - RIGHT) * step) / Math.max(1, last);
  const y = (value) => HIGH - BOTTOM - (HIGH - TOP - BOTTOM) * (maximum > minimum ? (value - minimum) / (maximum - minimum) : 0.5);
  const points = (list, from) => list.map((value, step) => `${x(from + step).toFixed(1)},${y(value).toFixed(1)}`);
  const attributes = title ? { role: "img", "aria-label": title } : { "aria-hidden": "true" };
  const svg = svgElement("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, ...attributes });
  svg.append(...axes(minimum, maximum, history.length, forecast.length, x, y));
  const now = history.length - 1;
  const bridge = points(history.slice(-1), now);
  if (low.length) {
    const band = [...bridge, ...points(high, now + 1), ...points(low, now + 1).reverse()];
    svg.append(svgElement("polygon", { class: "band", points: band.join(" ") }));
  }
  svg.append(svgElement("polyline", { class: "past", points: points(history, 0).join(" ") }));
  if (forecast.length) svg.append(...forecastLine([...bridge, ...points(forecast, now + 1)]));
  return svg;
}

function forecastLine(points) {
  const dots = points.slice(1).map((point) => {
    const [cx, cy] = point.split(",");
    return svgElement("circle", { class: "next", cx, cy, r: 2.5 });
  });
  return [svgElement("polyline", { class: "next", points: points.join(" ") }), ...dots];
}

function axes(minimum, maximum, past, steps, x, y) {
  const ends = minimum === maximum ? [minimum] : [minimum, maximum];
  const lines = ends.map((end) => svgElement("line", { class: "axis", x1: LEFT, x2: WIDE - RIGHT, y1: y(end), y2: y(end) }));
  const sides = ends.map((end) => svgElement("text", { x: LEFT - 5, y: y(end) + 4, "text-anchor": "end" }, formatNumber(end)));
  const below = [[0, `-${past - 1}`, "start"], [past - 1, "now", steps ? "middle" : "end"]];
  if (steps) below.push([past + steps - 1, `+${steps}`, "end"]);
  if (steps && steps < past / 8) below.splice(1, 1); // no room for the label
  const texts = below.map(([step, text, anchor]) => svgElement("text", { x: x(step), y: HIGH - 4, "text-anchor": anchor }, text));
  return [...lines, ...sides, ...texts];
}
