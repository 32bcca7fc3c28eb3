// The data of a plot as a table, which is built when it is opened; for screen readers, keyboards and copying.
"use strict";

const MAX_ROWS = 1000;

// By kind of plot: the names of the columns, and the rows.
const TABLES = {
  lines: (data) => curveTable(data.lines, data.x, data.y),
  points: (data) => pointTable(data),
  regions: (data) => pointTable(data),
  bars: (data) => [["name", data.x || "value", "from", "to"], data.bars.map((bar) => [bar.name, bar.value, bar.low ?? null, bar.high ?? null])],
  boxes: (data) => [
    ["name", "lower whisker", "first quartile", "median", "third quartile", "upper whisker", "beyond them", "missing", "rows"],
    data.boxes.map((box) => [box.name, box.low, ...box.quartiles, box.high, box.beyond, box.missing, box.rows]),
  ],
  counts: (data) => [["name", ...data.groups.map((group) => group.name)], data.names.map((name, place) => [name, ...data.groups.map((group) => group.values[place])])],
  matrix: (data) => [[`${data.down} / ${data.across}`, ...data.columns], data.rows.map((name, down) => [name, ...data.values[down]])],
};

function pointTable(data) {
  return [["group", data.x, data.y], data.groups.flatMap((group) => group.x.map((x, place) => [group.name || "all", x, group.y[place]]))];
}

// One row for each value on the axis and a column for each curve, unless a curve has several values there.
function curveTable(curves, xName, yName) {
  if (curves.some(({ low }) => low)) {
    const rows = curves.flatMap(({ name, x, y, low, high, rows: count }) => x.map((at, place) => [name, at, y[place], low?.[place] ?? null, high?.[place] ?? null, count?.[place] ?? null]));
    return [["curve", xName, yName, "from", "to", "rows"], rows];
  }
  if (curves.some(({ x }) => new Set(x).size < x.length)) {
    return [["curve", xName, yName], curves.flatMap(({ name, x, y }) => x.map((at, place) => [name, at, y[place]]))];
  }
  const rows = new Map(curves.flatMap(({ x }) => x.map((at) => [at, [at, ...curves.map(() => null)]])));
  curves.forEach(({ x, y }, column) => x.forEach((at, place) => { rows.get(at)[column + 1] = y[place]; }));
  return [[xName, ...curves.map(({ name }) => name || yName)], [...rows.values()].sort((one, other) => one[0] - other[0])];
}

function dataTable([columns, rows]) {
  const head = htmlElement("tr", {}, ...columns.map((name) => htmlElement("th", { scope: "col" }, name || "value")));
  const body = rows.slice(0, MAX_ROWS).map((row) => htmlElement("tr", {}, ...row.map((value) => {
    const number = typeof value === "number";
    return htmlElement("td", number ? { class: "n" } : {}, number ? formatValue(value, 6) : value ?? "–");
  })));
  const table = htmlElement("table", {}, htmlElement("thead", {}, head), htmlElement("tbody", {}, ...body));
  const more = rows.length > MAX_ROWS ? [htmlElement("p", { class: "soft" }, `${MAX_ROWS} of ${rows.length} rows`)] : [];
  return [htmlElement("div", { class: "scroll", tabindex: "0", role: "group", "aria-label": "Data" }, table), ...more];
}

function addDataTable(figure, kind, data) {
  const tools = htmlElement("div", { class: "tools" });
  figure.append(tools);
  addDownloads(tools, figure, TABLES[kind] && (() => TABLES[kind](data)));
  if (!TABLES[kind]) return; // below the diagram of a network the page has a table of all layers
  const details = htmlElement("details", { class: "data" }, htmlElement("summary", {}, "Data"));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(...dataTable(TABLES[kind](data)));
  });
  tools.prepend(details);
}
