// The form of a model: a field for each value of an instance, and the prediction.

import { showPrediction } from "./prediction.js";
import { request, requestAll } from "./api.js";
import { element, unique } from "./element.js";
import { explainOption, showExplanation } from "./explanation.js";
import { field, isProse } from "./field.js";
import { requestCode } from "./request_code.js";
import { truthForm } from "./truth.js";

export function form(schema, onError) {
  const path = `v1/models/${encodeURIComponent(schema.task)}:predict`;
  const [inputs, code, explain] = [inputsOf(schema), requestCode(path), explainOption(schema)];
  const output = element("div", { class: "answer", role: "status", "aria-live": "polite" });
  const body = () => ({ instances: [inputs.read()], ...explain.read() });
  const example = () => inputs.write(schema.example);
  const buttons = element(
    "p",
    { class: "row" },
    element("button", { class: "first" }, "Predict"),
    element("button", { type: "button", click: example }, "Use the example"),
  );
  const heading = element("h3", { id: unique("form") }, "Get a prediction");
  const node = element("form", { novalidate: true, "aria-labelledby": heading.id }, heading, inputs.frames, explain.node, buttons);
  const redraw = () => code.show(body());
  node.addEventListener("input", () => { redraw(); markStale(output); });
  node.addEventListener("submit", (event) => {
    event.preventDefault();
    submit({ schema, path, inputs, output, onError, body: body() });
  });
  Promise.resolve(example()).then(redraw);
  return { node, output, code: code.node, redraw, read: inputs.read };
}

// An answer to other inputs than those in the form is marked, so that it is not taken for theirs.
function markStale(output) {
  if (!output.firstChild || output.classList.contains("stale")) return;
  output.classList.add("stale");
  output.prepend(element("p", { class: "hint" }, "The inputs have changed since."));
}

function inputsOf({ instance, example }) {
  if (isProse(instance)) return fields(instance.oneOf[1], (value) => (typeof value === "string" ? { prompt: value } : value));
  if (instance.type === "object") return fields(instance, (value) => value);
  const input = field("", instance, typeof example === "string" ? "Text" : "Value");
  return { frames: [input.frame], find: () => input, all: [input], read: input.read, write: input.write };
}

function fields({ properties }, spread) {
  const all = Object.entries(properties).map(([name, schema]) => field(name, schema, name));
  const matches = (path) => all.filter(({ name }) => path === name || path.startsWith(`${name}[`));
  return {
    all,
    frames: element("div", { class: "fields" }, all.map(({ frame }) => frame)),
    find: (path) => matches(path).sort((first, second) => second.name.length - first.name.length)[0],
    read: () => Object.fromEntries(all.map((input) => [input.name, input.read()])),
    write: (value) => {
      const values = spread(value);
      for (const input of all) input.write(values[input.name] ?? properties[input.name].default ?? null);
      all[0].control.dispatchEvent(new Event("input", { bubbles: true }));
    },
  };
}

async function submit(submission) {
  const { schema, path, inputs, output, onError, body } = submission;
  if (output.ariaBusy === "true") return;
  for (const input of inputs.all) input.refuse("");
  output.ariaBusy = "true";
  output.classList.remove("stale");
  try {
    const start = performance.now();
    const { content: response, headers } = await requestAll(path, JSON.stringify(body));
    const duration = Math.max(1, Math.round(performance.now() - start));
    const reasons = response.explanations ? showExplanation(schema, response.explanations[0]) : [];
    output.replaceChildren(...showPrediction(schema, body.instances[0], response.predictions[0]), ...reasons, truthForm(schema, headers, response.predictions[0]), versionNote(schema, response.version, duration));
  } catch (error) {
    showError(error, inputs, output);
    onError(error);
  } finally {
    output.ariaBusy = "false";
  }
}

function versionNote(schema, version, duration) {
  const warning = version === schema.version ? "" : " This is not the version that the card describes.";
  return element("p", { class: "hint" }, "Predicted by version ", element("code", {}, version), ` in ${duration} ms.${warning}`);
}

// Shows an error at the field that it names and focuses it; other errors are shown below the form.
function showError(error, inputs, output) {
  const message = error.message || "The response could not be read.";
  const match = /^instances\[0\]\.?(.*)$/s.exec(error.field ?? "");
  const input = match && inputs.find(match[1]);
  output.replaceChildren(element("p", { class: "wrong" }, input ? "Invalid input: see the marked field." : message));
  if (!input) return;
  const index = /\[(\d+)\]$/.exec(match[1]);
  input.refuse(index ? `number ${Number(index[1]) + 1}: ${message}` : message);
  input.control.focus();
}
