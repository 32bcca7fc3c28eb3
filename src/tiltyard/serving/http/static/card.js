// The model card: purpose, metrics, data.

import { request } from "./api.js";
import { element, formatNumber, withCode } from "./element.js";
import { markdown } from "./markdown.js";

export function card(schema) {
  const { card: facts } = schema;
  return element(
    "div",
    { class: "card" },
    element("h3", {}, "Metrics"),
    facts ? metrics(facts) : plainMetrics(schema.metrics),
    facts ? element("p", { class: "hint" }, basis(facts)) : "",
    fullCard(schema.task),
  );
}

export function identity({ task, problem, version, card: facts, stand_in: standIn }) {
  const purpose = facts ? element("p", {}, "Predicts ", withCode(facts.purpose), ".") : "";
  const parts = [element("code", {}, task), problem, ["version ", element("code", {}, version)]];
  if (facts) parts.push(`packaged on ${facts.packaged}`, ["data ", element("code", {}, facts.data.slice(0, 12))]);
  const line = element("p", { class: "soft facts" }, parts.map((part) => element("span", {}, part)));
  const warning = standIn ? element("p", { class: "bad" }, `Stand-in data: ${standIn}. Its metrics prove nothing about the real data.`) : "";
  return [line, warning, purpose];
}

function metrics({ figures, confidence }) {
  const head = ["metric", "model", "baseline"].map((name) => element("th", { scope: "col" }, name));
  const rows = figures.map((figure) => row(figure));
  const intervals = figures.some(({ interval }) => interval) ? ` Intervals: ${formatNumber(confidence * 100)} %, by bootstrap.` : "";
  const note = element("p", { class: "hint" }, `The metric that decides about promotion is marked.${intervals}`);
  const attributes = { "aria-label": "Metrics of the model and of the baseline" };
  return [element("table", attributes, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows)), note];
}

function row({ title, meaning, value, interval, baseline, decides, higher_is_better: higher }) {
  const ends = interval ? `; between ${formatNumber(interval[0], 3)} and ${formatNumber(interval[1], 3)}` : "";
  const explanation = element("td", { colspan: 3, class: "hint" }, `${meaning}; ${higher ? "higher" : "lower"} is better${ends}`);
  const name = element("th", { scope: "row" }, title, decides ? [" ", element("span", { class: "mark" }, "decides")] : "");
  const values = element("tr", { class: "figures" }, name, element("td", {}, formatNumber(value)), element("td", {}, formatNumber(baseline)));
  return [values, element("tr", { class: "meaning" }, explanation)];
}

function plainMetrics(values) {
  return element("dl", {}, Object.entries(values).map(([name, value]) => [element("dt", {}, name), element("dd", {}, formatNumber(value))]));
}

function basis({ rows, baseline, complete }) {
  if (complete) return `Measured on all ${formatNumber(rows.test, 9)} rows that exist, which are also the training rows. The baseline predicts ${baseline}.`;
  const counts = Object.entries(rows).filter(([part]) => part !== "test").map(([part, count]) => `${formatNumber(count, 9)} for ${part}`);
  return `Measured on ${formatNumber(rows.test, 9)} sealed test rows; trained on others (${counts.join(", ")}). The baseline predicts ${baseline}.`;
}

function fullCard(task) {
  const text = element("div", { class: "text", tabindex: 0, role: "group", "aria-label": "Full model card" });
  const load = async ({ target }) => {
    if (!target.open || text.textContent) return;
    text.replaceChildren(...markdown(await request(`v1/models/${encodeURIComponent(task)}/card`).catch(({ message }) => message)));
  };
  return element("details", { toggle: load }, element("summary", {}, "Full model card"), text);
}
