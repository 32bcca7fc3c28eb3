// Building blocks of SVG plots: elements, scales, axes and tooltips. Values from data become text, never HTML.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const COLOURS = 10;

function svgElement(tag, attributes = {}, ...children) {
  const one = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value !== undefined && value !== "") one.setAttribute(name, value);
  one.append(...children.flat().filter((child) => child !== "" && child !== undefined));
  return one;
}

function htmlElement(tag, attributes = {}, ...children) {
  const one = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) one.setAttribute(name, value);
  one.append(...children);
  return one;
}

function colour(place) {
  return `var(--c${place % COLOURS})`;
}

function formatValue(value, digits = 4) {
  if (value === null || value === undefined) return "–";
  if (typeof value !== "number") return String(value);
  const size = Math.abs(value);
  const notation = size !== 0 && (size >= 1e7 || size < 1e-4) ? "scientific" : "standard";
  return new Intl.NumberFormat("en", { maximumSignificantDigits: digits, notation, useGrouping: size >= 10000 }).format(value);
}

// Return a scale from values to pixels, with ticks at round numbers.
function scale(values, [from, to], { log = false, zero = false, exact = false, count = 5 } = {}) {
  const finite = values.filter((value) => Number.isFinite(value) && (!log || value > 0));
  let [least, most] = [Math.min(...finite), Math.max(...finite)];
  if (!finite.length) [least, most] = log ? [1, 10] : [0, 1];
  if (zero) [least, most] = [Math.min(0, least), Math.max(0, most)];
  if (log) return powerScale(least, most, from, to);
  if (least === most) [least, most] = [least - Math.abs(least || 1) / 2, most + Math.abs(most || 1) / 2];
  const step = roundStep((most - least) / count, finite.every(Number.isInteger));
  const [first, last] = exact ? [least, most] : [Math.floor(least / step + 1e-9) * step, Math.ceil(most / step - 1e-9) * step];
  const marks = [];
  for (let mark = Math.ceil(first / step - 1e-9); mark * step <= last + step * 1e-9; mark += 1) marks.push(Number((mark * step).toPrecision(12)));
  const at = (value) => from + ((to - from) * (value - first)) / (last - first);
  at.marks = marks;
  return at;
}

function powerScale(least, most, from, to) {
  const [low, high] = [Math.floor(Math.log10(least) + 1e-9), Math.max(Math.ceil(Math.log10(most) - 1e-9), Math.floor(Math.log10(least)) + 1)];
  const every = Math.ceil((high - low) / 6);
  const marks = [];
  for (let power = low; power <= high; power += every) marks.push(10 ** power);
  if (high - low === 1) marks.splice(1, 0, 2 * 10 ** low, 5 * 10 ** low);
  const at = (value) => from + ((to - from) * (Math.log10(value) - low)) / (high - low);
  at.marks = marks;
  return at;
}

// Between whole numbers, as counts and epochs, there are no ticks.
function roundStep(step, whole = false) {
  const power = 10 ** Math.floor(Math.log10(step));
  if (whole && step <= 1) return 1;
  return power * (whole && power === 1 ? [1, 2, 5, 10] : [1, 2, 2.5, 5, 10]).find((one) => one * power >= step * 0.999);
}

// Draw both axes with ticks and names; return the plot with its scales.
function frame(width, height, data, xs, ys, options = {}) {
  const ends = { top: 10, right: 14, bottom: 42, left: 58 };
  const x = scale(xs, [ends.left, width - ends.right], { log: data.log_x, exact: options.exact, count: options.count ?? (width < 420 ? 4 : 6) });
  const y = scale(ys, [height - ends.bottom, ends.top], { count: options.count ?? 5, log: data.log, zero: data.zero, exact: options.exactY });
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" });
  for (const mark of y.marks) {
    svg.append(svgElement("line", { class: "axis", x1: ends.left, x2: width - ends.right, y1: y(mark), y2: y(mark) }));
    svg.append(svgElement("text", { x: ends.left - 6, y: y(mark) + 4, "text-anchor": "end" }, formatValue(mark)));
  }
  for (const [mark, name] of data.ticks?.map((tick) => [tick.x, tick.name]) ?? x.marks.map((one) => [one, formatValue(one)])) {
    svg.append(svgElement("line", { class: "axis", x1: x(mark), x2: x(mark), y1: ends.top, y2: height - ends.bottom }));
    svg.append(svgElement("text", { x: x(mark), y: height - ends.bottom + 16, "text-anchor": "middle" }, name));
  }
  svg.append(svgElement("text", { x: (ends.left + width - ends.right) / 2, y: height - 6, "text-anchor": "middle" }, data.x));
  const middle = (ends.top + height - ends.bottom) / 2;
  svg.append(svgElement("text", { x: 0, y: 0, transform: `translate(12 ${middle}) rotate(-90)`, "text-anchor": "middle" }, shortened(data.y, (height - ends.top - ends.bottom) / 6.2)));
  return { svg, x, y, ends };
}

function shortened(text, letters) {
  return text.length > letters ? `${text.slice(0, Math.floor(letters) - 1)}…` : text;
}

function pathData(xs, ys, x, y) {
  let pen = "M";
  return xs.map((value, place) => {
    if (ys[place] === null || !Number.isFinite(y(ys[place])) || !Number.isFinite(x(value))) { pen = "M"; return ""; }
    const point = `${pen}${x(value).toFixed(1)} ${y(ys[place]).toFixed(1)}`;
    pen = "L";
    return point;
  }).join("");
}

// A tooltip beside the pointer.
function tooltip(plot) {
  const box = htmlElement("div", { class: "tip", hidden: "" });
  plot.append(box);
  return {
    show(text, left, top) {
      box.textContent = text;
      box.hidden = false;
      const across = left + box.offsetWidth + 16 > plot.clientWidth ? left - box.offsetWidth - 10 : left + 12;
      box.style.left = `${Math.max(0, across)}px`;
      box.style.top = `${Math.max(0, top - box.offsetHeight - 6)}px`;
    },
    hide() { box.hidden = true; },
  };
}

function onPointer(plot, look, leave) {
  const at = (event) => {
    const place = plot.getBoundingClientRect();
    look(event.clientX - place.left, event.clientY - place.top);
  };
  for (const name of ["pointermove", "pointerdown"]) plot.addEventListener(name, at);
  plot.addEventListener("pointerleave", leave);
  onArrows(plot, look, leave);
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const KEY_STEPS = 24; // of the arrow keys, from one side of a plot to the other

// The arrow keys move what would be the pointer, so that values can be read without a mouse.
function onArrows(plot, look, leave) {
  let at;
  plot.tabIndex = 0;
  plot.addEventListener("keydown", (event) => {
    const [across, down] = ARROWS[event.key] ?? [];
    if (across === undefined || event.target !== plot) return;
    event.preventDefault();
    const [width, height] = [plot.clientWidth, plot.clientHeight];
    at ??= [width / 2 - (across * width) / KEY_STEPS, height / 2 - (down * height) / KEY_STEPS];
    at = [at[0] + (across * width) / KEY_STEPS, at[1] + (down * height) / KEY_STEPS].map((value, axis) => Math.min(Math.max(value, 0), [width, height][axis] - 1));
    look(...at);
  });
  plot.addEventListener("blur", () => { at = undefined; leave(); });
}
