// Why an answer is as it is: what each column of a table adds to it or takes from it, the largest first.

import { element, figure, unique } from "./element.js";

const SHOWN = 12; // columns with a bar of their own

export function wish({ instance, problem }) {
  const table = instance.type === "object" && Object.values(instance.properties).every(({ type }) => type !== "array");
  if (!table || !["regression", "classification"].includes(problem)) return { node: "", read: () => ({}) };
  const box = element("input", { type: "checkbox", id: unique("explain") });
  const node = element("p", { class: "row" }, box, element("label", { for: box.id }, "Explain the answer"));
  return { node, read: () => (box.checked ? { explain: true } : {}) };
}

export function explained(schema, { base, of, contributions }) {
  const ranked = Object.entries(contributions).sort(([, one], [, other]) => Math.abs(other) - Math.abs(one));
  const first = ranked.length > SHOWN + 1 ? ranked.slice(0, SHOWN) : ranked;
  const rest = ranked.slice(first.length);
  if (rest.length) first.push([`${rest.length} others`, rest.reduce((sum, [, value]) => sum + value, 0)]);
  const most = Math.max(...first.map(([, value]) => Math.abs(value))) || 1;
  const { unit = "" } = schema.card?.target ?? {};
  const start = of === null ? [figure(base), unit].filter(Boolean).join(" ") : `a probability of ${figure(base, 3)}`;
  const said = `Sample rows get ${start} on average; so much each column adds to that, or takes from it:`;
  return [element("p", { class: "hint" }, said), element("ul", { class: "bars" }, first.map(([name, value]) => bar(name, value, most)))];
}

function bar(name, value, most) {
  const filled = element("span", { class: value < 0 ? "filled against" : "filled" });
  filled.style.width = `${(Math.abs(value) / most) * 100}%`;
  const line = element("span", { class: "line", "aria-hidden": "true" }, filled);
  const spelled = `${value > 0 ? "+" : ""}${figure(value, 3)}`;
  return element("li", {}, element("span", {}, name.replaceAll("_", " ")), line, element("span", {}, spelled));
}
