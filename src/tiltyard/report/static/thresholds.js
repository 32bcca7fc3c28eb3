// A slider for the threshold of two classes, which moves confusion matrix, rates and cost together.
"use strict";

const MARK = "threshold";

function thresholdSlider(data, draw) {
  const { thresholds, own, positive } = data.slider;
  const [range, shown] = [htmlElement("input", { type: "range", min: "0", max: String(thresholds.length - 1), step: "1" }), htmlElement("output", {})];
  const [alarm, miss] = [costField("Cost of a false alarm"), costField(`Cost of a missed ${positive}`)];
  const results = htmlElement("div", { class: "rates", role: "group", "aria-label": "Results at the threshold" });
  const nearest = (value) => thresholds.reduce((best, one, place) => (Math.abs(one - value) < Math.abs(thresholds[best] - value) ? place : best), 0);
  const move = (place) => { range.value = String(place); update(); };
  const update = () => {
    const place = Number(range.value);
    shown.textContent = formatValue(thresholds[place], 3);
    range.setAttribute("aria-valuetext", `${positive} from ${shown.textContent} on`);
    const costs = thresholds.map((_, at) => costAt(data.slider, at, alarm.value, miss.value));
    results.replaceChildren(...thresholdResults(data.slider, place, costs));
    const highest = Math.max(...costs.filter(Number.isFinite), 0) || 1;
    data.lines.find(({ name }) => name === "cost").y = costs.map((cost) => cost / highest);
    data.marks = [{ x: thresholds[place], name: MARK }];
    draw();
    return costs;
  };
  const least = button("Least cost", () => { const costs = update(); move(costs.indexOf(Math.min(...costs))); });
  const back = button("The model’s", () => move(nearest(own)));
  for (const input of [range, alarm.input, miss.input]) input.addEventListener("input", update);
  const label = htmlElement("label", {}, `${positive} is predicted from this probability on: `, shown, range);
  move(nearest(own));
  return htmlElement("div", { class: "threshold" }, label, htmlElement("div", { class: "costs" }, alarm.label, miss.label, least, back), results);
}

function button(text, pressed) {
  const one = htmlElement("button", { type: "button" }, text);
  one.addEventListener("click", pressed);
  return one;
}

function costField(text) {
  const input = htmlElement("input", { type: "number", min: "0", step: "any", value: "1" });
  return { input, label: htmlElement("label", {}, text, input), get value() { return Math.max(0, Number(input.value) || 0); } };
}

function costAt({ found, alarms, positives }, place, alarm, miss) {
  return alarms[place] * alarm + (positives - found[place]) * miss;
}

function thresholdResults({ found, alarms, positives, negatives, positive, negative }, place, costs) {
  const [hits, wrong] = [found[place], alarms[place]];
  const share = (part, whole) => (whole ? formatValue(part / whole, 3) : "–");
  const head = (name) => htmlElement("th", { scope: "col" }, name);
  const row = (name, ...values) => htmlElement("tr", {}, htmlElement("th", { scope: "row" }, name), ...values.map((value) => htmlElement("td", { class: "n" }, formatValue(value))));
  const table = htmlElement("table", { class: "plain" },
    htmlElement("thead", {}, htmlElement("tr", {}, htmlElement("th", { scope: "col" }, "actual"), head(`predicted ${negative}`), head(`predicted ${positive}`))),
    htmlElement("tbody", {}, row(negative, negatives - wrong, wrong), row(positive, positives - hits, hits)));
  const rates = [["precision", share(hits, hits + wrong)], ["recall", share(hits, positives)], ["specificity", share(negatives - wrong, negatives)],
    ["F1", share(2 * hits, 2 * hits + wrong + positives - hits)], ["accuracy", share(hits + negatives - wrong, positives + negatives)], ["cost", formatValue(costs[place])]];
  const list = htmlElement("dl", {}, ...rates.map(([name, value]) => htmlElement("div", {}, htmlElement("dt", {}, name), htmlElement("dd", {}, value))));
  return [table, list];
}
