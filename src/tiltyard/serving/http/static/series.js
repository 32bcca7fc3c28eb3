// A series: its history as numbers to edit or paste, drawn as they stand.

import { element, unique } from "./element.js";
import { framed, numeral } from "./frame.js";
import { plot } from "./plot.js";

export function series(name, schema) {
  const window = schema.minItems;
  const node = element("textarea", { id: unique("value"), rows: 5, spellcheck: "false", autocomplete: "off" });
  const picture = element("div", { class: "plot" });
  const count = element("span", { class: "hint" });
  const label = `History${name ? ` of ${name.replaceAll("_", " ")}` : ""}, the oldest number first`;
  const { minimum, maximum, description = "" } = schema.items;
  const span = Math.abs(minimum) < 1e15 && Math.abs(maximum) < 1e15 ? `, each ${minimum} to ${maximum}` : "";
  const hint = `${window} numbers${span}${description ? ` ${description}` : ""}: type or paste them, between blanks, commas or lines`;
  const { frame, refuse } = framed(label, node, hint, count);
  frame.prepend(picture);
  const numbers = () => node.value.split(/[\s,;]+/).filter(Boolean).map(numeral);
  const look = () => {
    const all = numbers();
    const good = all.every((value) => typeof value === "number");
    count.textContent = counted(all.length, window);
    picture.replaceChildren(...(good && all.length > 1 ? [plot({ history: all.slice(-window) })] : []));
  };
  node.addEventListener("input", look);
  const write = (values) => {
    node.value = values.join(", ");
    look();
  };
  return { name, frame, control: node, refuse, read: () => numbers().slice(-window), write };
}

function counted(there, window) {
  if (there > window) return `${there} numbers: the last ${window} are sent`;
  return there === window ? "" : `${there} of ${window} numbers`;
}
