// The form of a model: a field for each value of an instance, and what comes back.

import { answer } from "./answer.js";
import { ask } from "./ask.js";
import { command } from "./command.js";
import { element, unique } from "./element.js";
import { explained, wish } from "./explained.js";
import { field, isProse } from "./field.js";

export function form(schema, refused) {
  const path = `v1/models/${encodeURIComponent(schema.task)}:predict`;
  const [inputs, curl, why] = [inputsOf(schema), command(path), wish(schema)];
  const said = element("div", { class: "answer", role: "status", "aria-live": "polite" });
  const body = () => ({ instances: [inputs.read()], ...why.read() });
  const example = () => inputs.write(schema.example);
  const buttons = element(
    "p",
    { class: "row" },
    element("button", { class: "first" }, "Ask"),
    element("button", { type: "button", click: example }, "Use the example"),
  );
  const heading = element("h3", { id: unique("form") }, "Ask it");
  const node = element("form", { novalidate: true, "aria-labelledby": heading.id }, heading, inputs.frames, why.node, buttons);
  const redraw = () => curl.show(body());
  node.addEventListener("input", redraw);
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    submit({ schema, path, inputs, said, refused, body: body() });
  });
  Promise.resolve(example()).then(redraw);
  return { node: element("div", { class: "ask" }, node, said, curl.node), redraw };
}

function inputsOf({ instance, example }) {
  if (isProse(instance)) return several(instance.oneOf[1], (value) => (typeof value === "string" ? { prompt: value } : value));
  if (instance.type === "object") return several(instance, (value) => value);
  const one = field("", instance, typeof example === "string" ? "Text" : "Value");
  return { frames: [one.frame], find: () => one, all: [one], read: one.read, write: one.write };
}

function several({ properties }, spread) {
  const all = Object.entries(properties).map(([name, schema]) => field(name, schema, name));
  const named = (rest) => all.filter(({ name }) => rest === name || rest.startsWith(`${name}[`));
  return {
    all,
    frames: element("div", { class: "fields" }, all.map(({ frame }) => frame)),
    find: (rest) => named(rest).sort((one, other) => other.name.length - one.name.length)[0],
    read: () => Object.fromEntries(all.map((one) => [one.name, one.read()])),
    write: (value) => {
      const given = spread(value);
      for (const one of all) one.write(given[one.name] ?? properties[one.name].default ?? null);
      all[0].control.dispatchEvent(new Event("input", { bubbles: true }));
    },
  };
}

async function submit(asked) {
  const { schema, path, inputs, said, refused, body } = asked;
  if (said.ariaBusy === "true") return;
  for (const one of inputs.all) one.refuse("");
  said.ariaBusy = "true";
  try {
    const begun = performance.now();
    const back = await ask(path, JSON.stringify(body));
    const took = Math.max(1, Math.round(performance.now() - begun));
    const reasons = back.explanations ? explained(schema, back.explanations[0]) : [];
    said.replaceChildren(...answer(schema, body.instances[0], back.predictions[0]), ...reasons, by(schema, back.version, took));
  } catch (refusal) {
    told(refusal, inputs, said);
    refused(refusal);
  } finally {
    said.ariaBusy = "false";
  }
}

function by(schema, version, took) {
  const other = version === schema.version ? "" : " That is another version than the card is about.";
  return element("p", { class: "hint" }, "Answered by version ", element("code", {}, version), ` in ${took} ms.${other}`);
}

// A refusal stands at the field that it names, and the focus goes there; what names none stands below the form.
function told(refusal, inputs, said) {
  const message = refusal.message || "The answer could not be read.";
  const place = /^instances\[0\]\.?(.*)$/s.exec(refusal.field ?? "");
  const wrong = place && inputs.find(place[1]);
  said.replaceChildren(element("p", { class: "wrong" }, wrong ? "Refused: see the field that is marked." : message));
  if (!wrong) return;
  const inner = /\[(\d+)\]$/.exec(place[1]);
  wrong.refuse(inner ? `number ${Number(inner[1]) + 1}: ${message}` : message);
  wrong.control.focus();
}
