// Explanation of a prediction: the contribution of each column of a table, the largest first.
// Bars begin in the middle: to the right they raise the prediction, to the left they lower it.

import { element, formatNumber, unique } from "./element.js";

const MAX_BARS = 12; // columns with a bar of their own

export function explainOption({ instance, problem }) {
  const table = instance.type === "object" && Object.values(instance.properties).every(({ type }) => type !== "array");
  if (!table || !["regression", "classification", "multilabel"].includes(problem)) return { node: "", read: () => ({}) };
  const box = element("input", { type: "checkbox", id: unique("explain") });
  const node = element("p", { class: "row" }, box, element("label", { for: box.id }, "Explain the prediction"));
  return { node, read: () => (box.checked ? { explain: true } : {}) };
}

export function showExplanation(schema, { base, of, contributions }) {
  const ranked = Object.entries(contributions).sort(([, first], [, second]) => Math.abs(second) - Math.abs(first));
  const shown = ranked.length > MAX_BARS + 1 ? ranked.slice(0, MAX_BARS) : ranked;
  const rest = ranked.slice(shown.length);
  if (rest.length) shown.push([`${rest.length} others`, rest.reduce((sum, [, value]) => sum + value, 0)]);
  const largest = Math.max(...shown.map(([, value]) => Math.abs(value))) || 1;
  const { unit = "" } = schema.card?.targets?.find(({ column }) => column === of) ?? schema.card?.target ?? {};
  const average = schema.problem === "regression" ? [formatNumber(base), unit].filter(Boolean).join(" ") : `a probability of ${formatNumber(base, 3)}${schema.problem === "multilabel" ? ` of ${of}` : ""}`;
  const about = schema.card?.targets ? ` of ${of}` : "";
  const text = `Sample rows get ${average}${about} on average. Contribution of each column:`;
  const legend = element("p", { class: "hint legend" }, element("span", { class: "key against" }), "lowers the prediction ", element("span", { class: "key" }), "raises it");
  return [element("p", { class: "hint" }, text), legend, element("ul", { class: "bars" }, shown.map(([name, value]) => bar(name, value, largest)))];
}

function bar(name, value, largest) {
  const filled = element("span", { class: value < 0 ? "filled against" : "filled" });
  const share = (Math.abs(value) / largest) * 50;
  Object.assign(filled.style, { width: `${share}%`, marginLeft: `${value < 0 ? 50 - share : 50}%` });
  const line = element("span", { class: "line signed", "aria-hidden": "true" }, filled);
  const label = `${value > 0 ? "+" : ""}${formatNumber(value, 3)}`;
  return element("li", {}, element("span", {}, name.replaceAll("_", " ")), line, element("span", {}, label));
}
