// Series input: the history as numbers to edit or paste, with a plot.

import { element, unique } from "./element.js";
import { fieldFrame, parseNumber } from "./frame.js";
import { plot } from "./plot.js";

export function series(name, schema) {
  const window = schema.minItems;
  const node = element("textarea", { id: unique("value"), rows: 5, spellcheck: "false", autocomplete: "off" });
  const chart = element("div", { class: "plot" });
  const count = element("span", { class: "hint" });
  const label = `History${name ? ` of ${name.replaceAll("_", " ")}` : ""}, the oldest number first`;
  const { minimum, maximum, description = "" } = schema.items;
  const span = Math.abs(minimum) < 1e15 && Math.abs(maximum) < 1e15 ? `, each ${minimum} to ${maximum}` : "";
  const hint = `${window} numbers${span}${description ? ` ${description}` : ""}, separated by spaces, commas or line breaks`;
  const { frame, refuse } = fieldFrame(label, node, hint, count);
  frame.prepend(chart);
  const numbers = () => node.value.split(/[\s,;]+/).filter(Boolean).map(parseNumber);
  const update = () => {
    const all = numbers();
    const valid = all.every((value) => typeof value === "number");
    count.textContent = countText(all.length, window);
    chart.replaceChildren(...(valid && all.length > 1 ? [plot({ history: all.slice(-window) })] : []));
  };
  node.addEventListener("input", update);
  const write = (values) => {
    node.value = values.join(", ");
    update();
  };
  return { name, frame, control: node, refuse, read: () => numbers().slice(-window), write };
}

function countText(count, window) {
  if (count > window) return `${count} numbers: the last ${window} are sent`;
  return count === window ? "" : `${count} of ${window} numbers`;
}
