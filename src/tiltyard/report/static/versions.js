// Any two versions beside each other: their metrics, settings and checks.
"use strict";

function compareVersions(box) {
  const { versions, metrics } = JSON.parse(box.querySelector("script").textContent);
  const choose = (text, place) => {
    const options = versions.map(({ name }, at) => htmlElement("option", { value: String(at), ...(at === place ? { selected: "" } : {}) }, name));
    const select = htmlElement("select", {}, ...options);
    select.addEventListener("change", () => show());
    return [select, htmlElement("label", {}, text, select)];
  };
  const [[first, firstLabel], [second, secondLabel]] = [choose("Version", versions.length - 1), choose("beside", Math.max(versions.length - 2, 0))];
  const target = htmlElement("div", { "aria-live": "polite" });
  const show = () => target.replaceChildren(...versionTables(versions[Number(first.value)], versions[Number(second.value)], metrics));
  box.append(htmlElement("p", { class: "costs" }, firstLabel, secondLabel), target);
  show();
}

function versionTables(one, other, metrics) {
  const note = one.test === other.test ? [] : [htmlElement("p", { class: "warn" }, "They were judged on different test rows: their metrics cannot be compared.")];
  const values = metrics.filter(({ name }) => name in one.metrics || name in other.metrics).map(({ name, title, higher }) => {
    const [a, b] = [one.metrics[name], other.metrics[name]];
    const gain = typeof a === "number" && typeof b === "number" ? (higher ? a - b : b - a) : null;
    return [title, a ?? null, b ?? null, gain];
  });
  const differences = [...new Set([...Object.keys(one.facts), ...Object.keys(other.facts)])].map((name) => [name, one.facts[name] ?? null, other.facts[name] ?? null]);
  const different = differences.filter(([, a, b]) => a !== b);
  return [...note, plainTable("Metrics of the two versions", ["metric", one.name, other.name, "gain of the first"], values),
    ...(different.length ? [plainTable("What differs", ["what differs", one.name, other.name], different)] : [htmlElement("p", { class: "soft" }, "Settings, checks and data are the same.")])];
}

function plainTable(label, columns, rows) {
  const head = htmlElement("tr", {}, ...columns.map((name) => htmlElement("th", { scope: "col" }, name)));
  const cell = (value) => htmlElement("td", typeof value === "number" ? { class: "n" } : {}, formatValue(value));
  const body = rows.map((row) => htmlElement("tr", {}, ...row.map(cell)));
  return htmlElement("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": label }, htmlElement("table", {}, htmlElement("thead", {}, head), htmlElement("tbody", {}, ...body)));
}

document.querySelectorAll(".versions").forEach(compareVersions);
