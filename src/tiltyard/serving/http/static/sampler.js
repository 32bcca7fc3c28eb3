// Samples of a generative model: a grid by seed and class, a slider through the code, and the way between two codes.

import { request } from "./api.js";
import { requestCode } from "./request_code.js";
import { element, unique } from "./element.js";

const RANGES = { normal: [-4, 4], uniform: [0, 1] }; // of the slider, by the prior of the code
const STEPS = 9; // pictures on the way between two codes
const SLIDER_STEPS = 80;

export function sampler(schema, readRow, onError) {
  const { sampling, limits } = schema;
  const path = `v1/models/${encodeURIComponent(schema.task)}`;
  const [curl, output] = [requestCode(`${path}:sample`), element("div", { class: "answer", role: "status", "aria-live": "polite" })];
  const count = labelled("Count", element("input", { type: "number", min: 1, max: limits.max_instances, value: Math.min(16, limits.max_instances) }));
  const seed = labelled("Seed", element("input", { type: "number", min: 0, value: 0 }));
  const label = sampling.classes.length ? labelled("Class", element("select", {}, ["all in turn", ...sampling.classes].map(option))) : null;
  const classOf = () => (label && label.control.selectedIndex ? { class: label.control.value } : {});
  const body = () => ({ count: Number(count.control.value), seed: Number(seed.control.value), ...classOf() });
  const run = async (action, content) => {
    try {
      return await request(`${path}:${action}`, JSON.stringify(content));
    } catch (error) {
      output.replaceChildren(element("p", { class: "wrong" }, error.message));
      onError(error);
      return null;
    }
  };
  const walk = traversal(sampling, run, readRow);
  const heading = element("h3", { id: unique("sampler") }, "Draw samples");
  const button = element("button", { class: "first" }, "Draw");
  const frames = [count, seed, label].filter(Boolean).map(({ frame }) => frame);
  const node = element("form", { novalidate: true, "aria-labelledby": heading.id }, heading, element("div", { class: "fields" }, frames), element("p", { class: "row" }, button));
  const redraw = () => curl.show(body());
  node.addEventListener("input", redraw);
  node.addEventListener("submit", async (event) => {
    event.preventDefault();
    const response = await run("sample", body());
    if (response) output.replaceChildren(grid(response.samples, walk.choose), element("p", { class: "hint" }, "Choose a sample to change its code below."));
  });
  redraw();
  return { node: element("div", { class: "ask" }, node, output, walk.node, curl.node), redraw };
}

// A slider that changes one number of a code, and the pictures between the two codes that were chosen last.
function traversal(sampling, run, readRow) {
  const [low, high] = RANGES[sampling.prior];
  const middle = (low + high) / 2;
  const state = { code: Array(sampling.code).fill(middle), before: null, label: sampling.classes[0] };
  const number = labelled("Number of the code", element("select", {}, state.code.map((_, place) => option(place + 1))));
  const slider = labelled("Value", element("input", { type: "range", min: low, max: high, step: (high - low) / SLIDER_STEPS, value: middle }));
  const value = element("output", {}, `${middle}`);
  const output = element("div", { class: "answer" });
  const ofClass = () => (state.label === undefined ? {} : { class: state.label });
  const draw = async (codes) => {
    const response = await run("sample", { code: codes, ...ofClass() });
    if (response) output.replaceChildren(grid(response.samples));
  };
  const place = () => number.control.selectedIndex;
  const showValue = () => {
    slider.control.value = state.code[place()];
    value.textContent = Number(state.code[place()]).toFixed(2);
  };
  const choose = ({ code, class: label }) => {
    Object.assign(state, { before: state.code, code: [...code], label: label ?? state.label });
    showValue();
    draw([state.code]);
  };
  number.control.addEventListener("change", showValue);
  slider.control.addEventListener("change", () => {
    state.code[place()] = Number(slider.control.value);
    showValue();
    draw([state.code]);
  });
  const between = element("button", { type: "button", click: () => state.before && draw(way(state.before, state.code)) }, "From the code before to this one");
  const encode = element("button", { type: "button", click: () => encodeRow(run, readRow, choose) }, "Use the picture of the form");
  const heading = element("h3", {}, "Change the code");
  const buttons = element("p", { class: "row" }, between, sampling.encodes ? encode : null);
  return { node: element("div", {}, heading, element("div", { class: "fields" }, number.frame, slider.frame, value), buttons, output), choose };
}

async function encodeRow(run, readRow, choose) {
  const response = await run("encode", { instances: [readRow()] });
  if (response) choose({ code: response.codes[0] });
}

function way(from, to) {
  const shares = Array.from({ length: STEPS }, (_, step) => step / (STEPS - 1));
  return shares.map((share) => from.map((start, place) => start + share * (to[place] - start)));
}

function grid(samples, choose) {
  const pictures = samples.map((sample, place) => {
    const name = `Sample ${place + 1}${sample.class === undefined ? "" : `, class ${sample.class}`}`;
    const picture = element("img", { src: `data:image/png;base64,${sample.image.b64}`, alt: name, title: name });
    return choose ? element("button", { type: "button", class: "sample", click: () => choose(sample) }, picture) : picture;
  });
  return element("div", { class: "samples" }, pictures);
}

function labelled(text, control) {
  control.id = unique("sample");
  return { control, frame: element("div", {}, element("label", { for: control.id }, text), control) };
}

function option(text) {
  return element("option", {}, `${text}`);
}
