// The prediction as shown to people: bars for probabilities, one or several numbers, a cluster, a plot of a forecast, or text.

import { anomaly } from "./anomaly.js";
import { clustering } from "./clustering.js";
import { element, formatNumber } from "./element.js";
import { mask, objects } from "./objects.js";
import { plot } from "./plot.js";
import { reconstruction } from "./reconstruction.js";

const MAX_BARS = 12; // labels with a bar of their own
const MIN_SHARE = 0.0001; // smaller probabilities are shown as "under"

export function showPrediction(schema, instance, prediction) {
  if (typeof prediction === "string") return text(schema, instance, prediction);
  if (schema.card?.targets) return [numbers(schema, prediction)];
  if (prediction?.objects) return objects(instance, prediction);
  if (prediction?.mask) return mask(instance, prediction);
  if (prediction?.caption !== undefined) return caption(prediction);
  if (prediction?.memberships) return clustering(schema, prediction);
  if (prediction?.reconstruction) return reconstruction(prediction);
  if (typeof prediction?.anomaly === "boolean") return anomaly(schema, prediction);
  if (prediction?.probabilities) return label(schema, prediction);
  if (schema.problem === "forecasting") return forecast(schema, instance, prediction);
  return [number(schema, prediction)];
}

function label(schema, { label: likeliest, labels, probabilities }) {
  const chosen = labels ?? [likeliest];
  const ranked = Object.entries(probabilities).sort(([, first], [, second]) => second - first);
  const shown = ranked.length > MAX_BARS + 1 ? ranked.slice(0, MAX_BARS) : ranked;
  const others = ranked.slice(shown.length);
  const rest = others.reduce((sum, [, share]) => sum + share, 0);
  const bars = shown.map(([name, share]) => bar(name, share, chosen.includes(name)));
  if (others.length && !labels) bars.push(bar(`${others.length} others`, rest, false));
  if (others.length && labels) bars.push(element("li", {}, element("span", {}, `${others.length} others, each less probable`)));
  const heading = chosen.length ? chosen.join(", ") : "none of the labels";
  return [element("p", {}, element("strong", { class: "large" }, heading)), element("ul", { class: "bars" }, bars), labels ? "" : usualError(schema)];
}

// How often the predicted label is right on test rows.
function usualError(schema) {
  const accuracy = schema.card?.figures.find(({ name }) => name === "accuracy");
  if (!accuracy) return "";
  const [share, low, high] = [accuracy.value, ...(accuracy.interval ?? [])].map((one) => formatNumber(one * 100, 3));
  const between = low === undefined ? "" : ` (${low} to ${high})`;
  return element("p", { class: "hint" }, `On test rows, ${share} %${between} of the predicted labels are right.`);
}

function caption({ caption: text, probability }) {
  const shown = `${formatNumber(probability * 100, 3)} %`;
  return [element("blockquote", {}, text || "no word"), element("p", { class: "hint" }, `The probability of these words, one after another: ${shown}`)];
}

function bar(name, share, likeliest) {
  const filled = element("span", { class: "filled" });
  filled.style.width = `${share * 100}%`;
  const percent = share > 0 && share < MIN_SHARE ? `under ${MIN_SHARE * 100} %` : `${formatNumber(share * 100, share < 0.1 ? 2 : 3)} %`;
  const line = element("span", { class: "line", "aria-hidden": "true" }, filled);
  return element("li", { class: likeliest ? "likeliest" : undefined }, element("span", {}, name), line, element("span", {}, percent));
}

function number(schema, value) {
  const { unit = "", column = "" } = schema.card?.target ?? {};
  const shown = [element("strong", { class: "large" }, formatNumber(value, 6)), unit ? ` ${unit}` : ""];
  return element("p", {}, shown, column ? element("span", { class: "soft" }, ` ${column.replaceAll("_", " ")}`) : "", errorHint(schema, unit));
}

function numbers(schema, values) {
  const rows = schema.card.targets.map(({ column, unit }) => {
    const mean = schema.card.figures.find(({ name }) => name === `${column}.mae`);
    const error = mean ? element("span", { class: "hint" }, ` mean absolute error ${formatNumber(mean.value)}`) : "";
    const shown = [element("strong", {}, formatNumber(values[column], 6)), unit ? ` ${unit}` : "", error];
    return element("tr", {}, element("th", { scope: "row" }, column.replaceAll("_", " ")), element("td", {}, shown));
  });
  return element("table", {}, element("tbody", {}, rows));
}

function errorHint(schema, unit) {
  const mean = schema.card?.figures.find(({ name }) => name === "mae");
  if (!mean) return "";
  return element("span", { class: "hint" }, `On test rows, the mean absolute error is ${[formatNumber(mean.value), unit].filter(Boolean).join(" ")}.`);
}

function forecast(schema, instance, prediction) {
  const { unit = "", column = "", interval = null } = schema.card?.target ?? {};
  const steps = [prediction?.forecast ?? prediction].flat();
  const [low, high] = [prediction?.low ?? [], prediction?.high ?? []];
  const history = Array.isArray(instance) ? instance : instance[column] ?? [];
  const stepText = steps.length === 1 ? "next" : `first of the next ${steps.length}`;
  const ends = low.length ? `, between ${formatNumber(low[0], 6)} and ${formatNumber(high[0], 6)}` : "";
  const share = interval ? element("span", { class: "hint" }, `${formatNumber(interval * 100)} % of true values should lie in this interval.`) : "";
  const title = `History and forecast: ${steps.map((step) => formatNumber(step)).join(", ")}`;
  const summary = element("p", {}, element("strong", { class: "large" }, formatNumber(steps[0], 6)), ` ${[unit, stepText].filter(Boolean).join(", ")}${ends}`, share);
  if (!low.length) summary.append(errorHint(schema, unit));
  const drawing = element("div", { class: "plot" }, plot({ history, forecast: steps, low, high, title }));
  return [summary, drawing, ...(steps.length > 1 ? [table(steps, low, high)] : [])];
}

function table(steps, low, high) {
  const names = ["step", "forecast", ...(low.length ? ["low", "high"] : [])];
  const head = element("tr", {}, names.map((name) => element("th", { scope: "col" }, name)));
  const rows = steps.map((step, index) => {
    const cells = low.length ? [step, low[index], high[index]] : [step];
    return element("tr", {}, element("th", { scope: "row" }, `+${index + 1}`), cells.map((value) => element("td", {}, formatNumber(value, 6))));
  });
  const content = element("table", {}, element("thead", {}, head), element("tbody", {}, rows));
  return element("details", {}, element("summary", {}, "All steps as numbers"), content);
}

function text(schema, instance, prediction) {
  const prompt = schema.problem === "generation" ? instance.prompt ?? instance : "";
  return [element("blockquote", {}, prompt ? element("span", { class: "soft" }, prompt) : "", prediction)];
}
