// The model card: what a model is for, how good it is and on what.

import { ask } from "./ask.js";
import { element, figure, marked } from "./element.js";

export function card(schema) {
  const { card: facts } = schema;
  return element(
    "div",
    { class: "card" },
    element("h3", {}, "What it is worth"),
    facts ? figures(facts) : plain(schema.metrics),
    facts ? element("p", { class: "hint" }, basis(facts)) : "",
    whole(schema.task),
  );
}

export function identity({ task, problem, version, card: facts }) {
  const purpose = facts ? element("p", {}, "Answers with ", marked(facts.purpose), ".") : "";
  const parts = [element("code", {}, task), problem, ["version ", element("code", {}, version)]];
  if (facts) parts.push(`packaged on ${facts.packaged}`, ["data ", element("code", {}, facts.data.slice(0, 12))]);
  return [element("p", { class: "soft facts" }, parts.map((part) => element("span", {}, part))), purpose];
}

function figures({ figures: all, confidence }) {
  const head = ["figure", "model", "baseline"].map((name) => element("th", { scope: "col" }, name));
  const rows = all.map((one) => row(one));
  const some = all.some(({ interval }) => interval) ? ` Intervals are of ${figure(confidence * 100)} %, by bootstrap.` : "";
  const note = element("p", { class: "hint" }, `The figure that decides about promotion is marked.${some}`);
  const named = { "aria-label": "Figures of the model and of the baseline" };
  return [element("table", named, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows)), note];
}

function row({ title, meaning, value, interval, baseline, decides, higher_is_better: higher }) {
  const ends = interval ? `; between ${figure(interval[0], 3)} and ${figure(interval[1], 3)}` : "";
  const way = element("td", { colspan: 3, class: "hint" }, `${meaning}; ${higher ? "higher" : "lower"} is better${ends}`);
  const name = element("th", { scope: "row" }, title, decides ? [" ", element("span", { class: "mark" }, "decides")] : "");
  const figures = element("tr", { class: "figures" }, name, element("td", {}, figure(value)), element("td", {}, figure(baseline)));
  return [figures, element("tr", { class: "meaning" }, way)];
}

function plain(metrics) {
  return element("dl", {}, Object.entries(metrics).map(([name, value]) => [element("dt", {}, name), element("dd", {}, figure(value))]));
}

function basis({ rows, baseline }) {
  const trained = Object.entries(rows).filter(([part]) => part !== "test").map(([part, count]) => `${figure(count, 9)} for ${part}`);
  return `Measured on ${figure(rows.test, 9)} sealed test rows; learned from others (${trained.join(", ")}). The baseline answers with ${baseline}.`;
}

function whole(task) {
  const text = element("pre", { class: "text", tabindex: 0, role: "region", "aria-label": "The whole card" });
  const asked = async ({ target }) => {
    if (!target.open || text.textContent) return;
    text.textContent = await ask(`v1/models/${encodeURIComponent(task)}/card`).catch(({ message }) => message);
  };
  return element("details", { toggle: asked }, element("summary", {}, "The whole card"), text);
}
