// The kinds of plots, and drawing them again when their width changes.
"use strict";

const SQUARE = 420; // the width of a plot whose axes have one unit
const UNEQUAL = 20; // pixels that the margins left and right of a plot have more than those above and below
const drawings = []; // functions that draw the plots of the page

function lines(plot, data, hidden) {
  const shown = data.lines.filter((line) => !hidden.has(line.name)).map((line) => within(line, data.view));
  const band = data.band && Object.keys(data.band).length ? data.band : { x: [], low: [], high: [] };
  const width = data.square ? Math.min(plot.clientWidth, SQUARE) : plot.clientWidth;
  const height = data.square ? width - UNEQUAL : Math.min(Math.max(width * 0.55, 220), 340);
  const ys = [...shown.flatMap((line) => [...line.y, ...(line.low ?? []), ...(line.high ?? [])]), ...band.low, ...band.high];
  const { svg, x, y, ends } = frame(width, height, data, [...shown.flatMap((line) => line.x), ...band.x], ys, { exact: !data.square });
  if (band.x.length) {
    const there = pathData(band.x, band.high, x, y);
    const back = pathData([...band.x].reverse(), [...band.low].reverse(), x, y).replace("M", "L");
    svg.append(svgElement("path", { class: "band", d: `${there}${back}Z`, style: `fill: ${colour(1)}` }));
  }
  for (const line of shown) svg.append(...curveElements(line, line.place ?? data.lines.indexOf(line), x, y, height - ends.bottom));
  (data.marks ?? []).filter(({ x: at }) => x(at) >= ends.left - 1 && x(at) <= width - ends.right + 1).forEach(({ x: at, name }, place) => {
    svg.append(svgElement("line", { class: "zero", x1: x(at), x2: x(at), y1: ends.top, y2: height - ends.bottom }));
    const left = x(at) > width / 2;
    svg.append(svgElement("text", { class: "mark", x: x(at) + (left ? -5 : 5), y: ends.top + 12 + 15 * (place % 2), "text-anchor": left ? "end" : "start" }, name));
  });
  plot.prepend(data.square ? ofWidth(svg, width) : svg);
  return (left, top) => (data.square || data.near ? nearestPoint(shown, left, top, x, y, data) : nearestX(shown, left, x, y, data, svg, ends, height));
}

// A plot that is narrower than its place has a fixed width, so that it is not scaled.
function ofWidth(svg, width) {
  svg.style.width = `${width}px`;
  return svg;
}

// The part of a curve that the reader has chosen to see.
function within(line, view) {
  if (!view) return line;
  const kept = line.x.flatMap((at, place) => (at !== null && at >= view.from && at <= view.to ? [place] : []));
  return { ...line, x: kept.map((place) => line.x[place]), y: kept.map((place) => line.y[place]) };
}

function curveElements(line, place, x, y, floor) {
  const d = pathData(line.x, line.y, x, y);
  const kinds = ["dashed", "strong"].filter((kind) => line[kind]).join(" ");
  const parts = [svgElement("path", { class: kinds, d, stroke: line.dashed && !line.strong ? "var(--soft)" : colour(place), "stroke-opacity": line.strength, "stroke-width": line.unjoined ? 0 : undefined })];
  if (line.filled && d) {
    const area = `${d}L${x(line.x.at(-1)).toFixed(1)} ${floor}L${x(line.x[0]).toFixed(1)} ${floor}Z`;
    parts.unshift(svgElement("path", { class: "filled", d: area, style: `fill: ${colour(place)}; stroke: none` }));
  }
  (line.low ?? []).forEach((low, i) => {
    if (low === null || line.high[i] === null) return;
    parts.push(svgElement("line", { x1: x(line.x[i]), x2: x(line.x[i]), y1: y(low), y2: y(line.high[i]), stroke: colour(place), "stroke-width": 1.5 }));
  });
  const few = line.dots || (line.x.length <= 12 && !line.dashed && !line.filled);
  if (few) parts.push(...line.x.flatMap((at, i) => (line.y[i] === null ? [] : [svgElement("circle", { cx: x(at), cy: y(line.y[i]), r: 3.5, fill: colour(place) })])));
  return parts;
}

function nearestX(shown, left, x, y, data, svg, ends, height) {
  const all = [...new Set(shown.flatMap((line) => line.x))];
  if (!all.length) return undefined;
  const at = all.reduce((best, one) => (Math.abs(x(one) - left) < Math.abs(x(best) - left) ? one : best));
  svg.querySelector(".at")?.remove();
  svg.append(svgElement("line", { class: "at", x1: x(at), x2: x(at), y1: ends.top, y2: height - ends.bottom }));
  const rows = shown.flatMap((line) => {
    const place = line.x.lastIndexOf(at);
    return place < 0 ? [] : [`${line.name ? `${line.name}: ` : ""}${formatValue(line.y[place])}${intervalText(line, place)}`];
  });
  return { text: [`${data.x} ${formatValue(at)}`, ...rows].join("\n"), left: x(at), top: ends.top + 30 };
}

function intervalText(line, place) {
  const [low, high] = [line.low?.[place], line.high?.[place]];
  return typeof low === "number" && typeof high === "number" ? ` (${formatValue(low)} to ${formatValue(high)})` : "";
}

function nearestPoint(shown, left, top, x, y, data) {
  let best = { far: Infinity };
  for (const line of shown) {
    if (line.dashed && shown.length > 1) continue;
    line.x.forEach((at, place) => {
      const far = Math.hypot(x(at) - left, y(line.y[place] ?? NaN) - top);
      if (far < best.far) best = { far, line, place };
    });
  }
  if (!best.line) return undefined;
  const { line, place } = best;
  const rows = [line.name, `${data.x}: ${formatValue(line.x[place])}`, `${data.y}: ${formatValue(line.y[place])}${intervalText(line, place)}`];
  if (line.text) rows.splice(1, 2, line.text);
  for (const more of ["threshold", "rows"]) if (line[more]?.[place] !== undefined && line[more][place] !== null) rows.push(`${more}: ${formatValue(line[more][place])}`);
  return { text: rows.filter(Boolean).join("\n"), left: x(line.x[place]), top: y(line.y[place]) };
}

function points(plot, data, hidden) {
  const shown = data.groups.filter((group) => !hidden.has(group.name));
  const width = data.diagonal ? Math.min(plot.clientWidth, SQUARE) : plot.clientWidth;
  const height = data.diagonal ? width - UNEQUAL : Math.min(Math.max(width * 0.62, 240), 380);
  const [xs, ys] = ["x", "y"].map((axis) => shown.flatMap((group) => group[axis]));
  const level = data.level === undefined ? [] : [data.level];
  const both = data.diagonal ? [...xs, ...ys] : undefined;
  const curve = data.curve ?? { x: [], y: [] };
  const { svg, x, y, ends } = frame(width, height, data, both ?? [...xs, ...curve.x], both ?? [...ys, ...level, ...curve.y], both ? { count: 5 } : {});
  if (level.length) svg.append(svgElement("line", { class: "zero", x1: ends.left, x2: width - ends.right, y1: y(data.level), y2: y(data.level) }));
  if (data.diagonal) {
    const [least, most] = [Math.min(...both), Math.max(...both)];
    svg.append(svgElement("line", { class: "zero", x1: x(least), x2: x(most), y1: y(least), y2: y(most) }));
  }
  svg.append(...circles(shown, data.groups, x, y, xs.length > 600 ? 2 : 3, { "fill-opacity": 0.65 }));
  if (curve.x.length) svg.append(svgElement("path", { class: "strong", d: pathData(curve.x, curve.y, x, y), stroke: colour(1) }));
  plot.prepend(data.diagonal ? ofWidth(svg, width) : svg);
  return (left, top) => nearestPoint(shown, left, top, x, y, data);
}

function circles(shown, groups, x, y, size, look) {
  return shown.flatMap((group) => {
    const fill = colour(groups.indexOf(group));
    return group.x.flatMap((at, place) => (at === null || group.y[place] === null ? [] : [svgElement("circle", { cx: x(at).toFixed(1), cy: y(group.y[place]).toFixed(1), r: size, fill, ...look })]));
  });
}

function regions(plot, data, hidden) {
  const shown = data.groups.filter((group) => !hidden.has(group.name));
  const width = Math.min(plot.clientWidth, SQUARE);
  const height = width - UNEQUAL;
  const [halfX, halfY] = [data.across, data.up].map((axis) => (axis[1] - axis[0]) / 2);
  const span = (axis, half) => [axis[0] - half, axis.at(-1) + half];
  const { svg, x, y } = frame(width, height, data, span(data.across, halfX), span(data.up, halfY), { exact: true, exactY: true });
  ofWidth(svg, width);
  data.up.forEach((middle, row) => {
    const [top, high] = [y(middle + halfY), y(middle - halfY) - y(middle + halfY)];
    for (const { first, last, place, share } of runs(data.colours[row], data.shares[row])) {
      const [left, right] = [x(data.across[first] - halfX), x(data.across[last] + halfX)];
      svg.append(svgElement("rect", { x: left.toFixed(2), y: top.toFixed(2), width: (right - left).toFixed(2), height: high.toFixed(2), "shape-rendering": "crispEdges", fill: colour(place), "fill-opacity": (0.06 + 0.44 * share).toFixed(3) }));
    }
  });
  const few = shown.reduce((sum, group) => sum + group.x.length, 0) <= 100;
  svg.append(...circles(shown, data.groups, x, y, few ? 5 : 3, { stroke: "var(--card)", "stroke-width": 1 }));
  plot.prepend(svg);
  return (left, top) => nearestPoint(shown, left, top, x, y, data);
}

// Neighbours of one colour and nearly one strength become one rectangle.
function runs(colours, shares) {
  const found = [];
  colours.forEach((place, at) => {
    const share = Math.round(shares[at] * 20) / 20;
    const previous = found.at(-1);
    if (previous && previous.place === place && previous.share === share) previous.last = at;
    else found.push({ first: at, last: at, place, share });
  });
  return found;
}

function bars(plot, data) {
  const width = plot.clientWidth;
  const high = 24;
  const height = data.bars.length * high + 40;
  const letters = Math.max(...data.bars.map((bar) => bar.name.length), 1);
  const left = Math.min(letters * 7 + 12, width * 0.4);
  const values = data.bars.flatMap((bar) => [bar.value, bar.low ?? bar.value, bar.high ?? bar.value]);
  const x = scale(values, [left, width - 16], { zero: true, count: width < 420 ? 3 : 5 });
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" });
  for (const mark of x.marks) {
    svg.append(svgElement("line", { class: "axis", x1: x(mark), x2: x(mark), y1: 0, y2: height - 36 }));
    svg.append(svgElement("text", { x: x(mark), y: height - 22, "text-anchor": "middle" }, formatValue(mark)));
  }
  svg.append(svgElement("text", { x: (left + width - 16) / 2, y: height - 4, "text-anchor": "middle" }, data.x));
  data.bars.forEach((bar, place) => {
    const [top, most] = [place * high + 4, Math.floor((left - 12) / 6.6)];
    const name = bar.name.length > most ? `${bar.name.slice(0, most - 1)}…` : bar.name;
    svg.append(svgElement("text", { x: left - 8, y: top + 12, "text-anchor": "end" }, name));
    const [from, to] = [x(0), x(bar.value)].sort((one, other) => one - other);
    svg.append(svgElement("rect", { x: from, y: top, width: Math.max(to - from, 1), height: high - 8, rx: 2, fill: colour(bar.value < 0 ? 1 : 0) }));
    if (bar.low !== undefined) svg.append(svgElement("line", { x1: x(bar.low), x2: x(bar.high), y1: top + 8, y2: top + 8, stroke: "var(--ink)", "stroke-width": 1.5 }));
  });
  plot.prepend(svg);
  return (at, top) => {
    const bar = data.bars[Math.floor(top / high)];
    if (!bar) return undefined;
    const between = bar.low === undefined ? "" : `\n${formatValue(bar.low)} to ${formatValue(bar.high)}`;
    return { text: `${bar.name}\n${formatValue(bar.value)}${between}`, left: at, top };
  };
}

function matrix(plot, data) {
  const letters = Math.max(...data.rows.map((name) => name.length), 1);
  const slanted = Math.max(...data.columns.map((name) => name.length), 1) > 3 && data.columns.length > 3;
  const width = plot.clientWidth;
  const left = Math.min(letters * 7 + 34, width * 0.42);
  const below = slanted ? Math.min(Math.max(...data.columns.map((name) => name.length)) * 5 + 34, 120) : 42;
  const side = Math.min((width - left - 6) / data.columns.length, 76);
  const height = side * data.rows.length + below;
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" });
  const all = data.values.flat().filter(Number.isFinite);
  const [least, most] = [Math.min(0, ...all), Math.max(...all, 1e-12)];
  data.values.forEach((row, down) => {
    const whole = row.reduce((sum, value) => sum + (value ?? 0), 0) || 1;
    row.forEach((value, across) => {
      const share = value === null ? 0 : data.by_row ? value / whole : (value - least) / (most - least);
      const cell = svgElement("g", { class: "cell" });
      const [px, py] = [left + across * side, down * side];
      cell.append(svgElement("rect", { x: px, y: py, width: side - 1, height: side - 1, fill: `rgb(var(--shade) / ${(0.04 + 0.96 * share).toFixed(3)})` }));
      const text = formatValue(value, data.by_row ? 6 : 2);
      if (side >= Math.max(16, text.length * 7.5)) cell.append(svgElement("text", { class: value ? "" : "none", x: px + side / 2, y: py + side / 2, style: share > 0.5 ? "fill: #fff" : "fill: var(--ink)" }, text));
      svg.append(cell);
    });
  });
  const every = Math.ceil(14 / side);
  const short = (name, most) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);
  data.rows.forEach((name, place) => {
    if (place % every === 0) svg.append(svgElement("text", { x: left - 6, y: (place + 0.5) * side + 4, "text-anchor": "end" }, short(name, Math.floor((left - 28) / 6.4))));
  });
  data.columns.forEach((name, place) => {
    const [px, py] = [left + (place + 0.5) * side, side * data.rows.length + 14];
    const turn = slanted ? { transform: `rotate(-40 ${px} ${py})`, "text-anchor": "end" } : { "text-anchor": "middle" };
    if (place % every === 0) svg.append(svgElement("text", { x: px, y: py, ...turn }, short(name, 18)));
  });
  svg.append(svgElement("text", { x: left + (side * data.columns.length) / 2, y: height - 5, "text-anchor": "middle" }, data.across));
  svg.append(svgElement("text", { transform: `translate(12 ${(side * data.rows.length) / 2}) rotate(-90)`, "text-anchor": "middle" }, data.down));
  plot.prepend(svg);
  return (at, top) => {
    const [across, down] = [Math.floor((at - left) / side), Math.floor(top / side)];
    const value = data.values[down]?.[across];
    if (value === undefined) return undefined;
    const whole = data.values[down].reduce((sum, one) => sum + (one ?? 0), 0);
    const share = data.by_row && whole ? `, ${formatValue((100 * value) / whole, 3)} % of the row` : "";
    return { text: `${data.down}: ${data.rows[down]}\n${data.across}: ${data.columns[across]}\n${formatValue(value)}${share}`, left: at, top };
  };
}

const KINDS = { lines, points, bars, boxes, counts, regions, matrix, network };

function renderFigure(figure) {
  const data = JSON.parse(figure.querySelector("script").textContent);
  const plot = figure.querySelector(".plot");
  const hidden = new Set();
  const names = (data.lines ?? data.groups ?? []).map(({ name, dashed, strong }, place) => ({ name, dashed, strong, place }));
  let [look, wide] = [() => undefined, 0];
  const bubble = tooltip(plot);
  const spoken = htmlElement("p", { class: "spoken", "aria-live": "polite" });
  const draw = () => {
    if (!plot.clientWidth) return;
    plot.querySelector(":scope > svg, :scope > .scroll")?.remove();
    bubble.hide();
    wide = plot.clientWidth;
    look = KINDS[figure.dataset.kind](plot, data, hidden);
  };
  onPointer(plot, (left, top) => {
    const found = look(left, top);
    if (found) bubble.show(found.text, found.left, found.top);
    else bubble.hide();
    if (document.activeElement === plot) spoken.textContent = found?.text ?? "";
  }, () => { bubble.hide(); plot.querySelector(".at")?.remove(); });
  plot.after(spoken);
  drawings.push(draw);
  (data.lines ?? []).forEach((line, place) => { line.place = place; });
  if (data.ranges) plot.before(rangeButtons(data, draw));
  if (data.slider) plot.before(thresholdSlider(data, draw));
  if (names.filter(({ name }) => name).length > 1) plot.after(legend(names, hidden, draw));
  addDataTable(figure, figure.dataset.kind, data);
  new ResizeObserver(() => {
    if (plot.clientWidth === wide) return;
    draw();
  }).observe(plot);
}

// A button for each range of the axis.
function rangeButtons(data, draw) {
  const buttons = data.ranges.map((range, place) => {
    const button = htmlElement("button", { type: "button", "aria-pressed": String(place === 0) }, range.name);
    button.addEventListener("click", () => {
      data.view = range;
      buttons.forEach((one) => one.setAttribute("aria-pressed", String(one === button)));
      draw();
    });
    return button;
  });
  return htmlElement("div", { class: "ranges", role: "group", "aria-label": "Shown range" }, ...buttons);
}

// A button for each name shows or hides its curve.
function legend(names, hidden, draw) {
  const list = htmlElement("ul", { class: "legend" });
  for (const { name, dashed, strong, place } of names) {
    const line = htmlElement("i", { style: `border-top-color: ${dashed && !strong ? "var(--soft)" : colour(place)}; border-top-style: ${dashed ? "dashed" : "solid"}` });
    const button = htmlElement("button", { type: "button", "aria-pressed": "true" }, line, name);
    button.addEventListener("click", () => {
      if (!hidden.delete(name)) hidden.add(name);
      button.setAttribute("aria-pressed", String(!hidden.has(name)));
      draw();
    });
    list.append(htmlElement("li", {}, button));
  }
  return list;
}

document.querySelectorAll("figure[data-kind]").forEach(renderFigure);
