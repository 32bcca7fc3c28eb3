// Box plots, bars in groups, and diagrams of networks.
"use strict";

const ROW_GAP = 26;
const RIGHT = 30; // for half of the last number on the axis

function names(plot, list, width) {
  const letters = Math.max(...list.map((name) => name.length), 1);
  const left = Math.min(letters * 7 + 12, width * 0.36);
  const most = Math.max(Math.floor((left - 12) / 6.6), 3);
  return { left, short: (name) => (name.length > most ? `${name.slice(0, most - 1)}…` : name) };
}

function verticalMarks(svg, x, floor, title, middle) {
  for (const mark of x.marks) {
    svg.append(svgElement("line", { class: "axis", x1: x(mark), x2: x(mark), y1: 0, y2: floor }));
    svg.append(svgElement("text", { x: x(mark), y: floor + 14, "text-anchor": "middle" }, formatValue(mark)));
  }
  svg.append(svgElement("text", { x: middle, y: floor + 32, "text-anchor": "middle" }, title));
}

function boxes(plot, data) {
  const width = plot.clientWidth;
  const high = data.own ? 48 : 30;
  const floor = data.boxes.length * high + 4;
  const height = floor + (data.own ? 0 : 38);
  const { left, short } = names(plot, data.boxes.map((box) => box.name), width);
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" });
  const values = (box) => [box.low, box.high, ...box.quartiles, ...box.outliers];
  const ends = [left + 4, width - RIGHT];
  const shared = data.own ? undefined : scale(data.boxes.flatMap(values), ends, { count: width < 420 ? 3 : 5 });
  if (shared) verticalMarks(svg, shared, floor, data.x, (left + width) / 2);
  data.boxes.forEach((box, place) => {
    const x = shared ?? scale(values(box), ends, { exact: true });
    svg.append(...boxElements(box, x, place * high + 15, colour(data.own ? 0 : place)));
    svg.append(svgElement("text", { x: left - 8, y: place * high + 19, "text-anchor": "end" }, short(box.name)));
    if (data.own) svg.append(svgElement("text", { class: "small", x: ends[0], y: place * high + 37 }, spread(box)));
  });
  plot.prepend(svg);
  return (at, top) => {
    const box = data.boxes[Math.floor(top / high)];
    if (!box) return undefined;
    const [first, middle, third] = box.quartiles.map((value) => formatValue(value));
    const rows = [box.name, `median ${middle}`, `middle half ${first} to ${third}`, `whiskers ${formatValue(box.low)} to ${formatValue(box.high)}`];
    if (box.beyond) rows.push(`beyond them ${formatValue(box.beyond)} of ${formatValue(box.rows)}`);
    if (box.missing) rows.push(`missing ${formatValue(box.missing)}`);
    return { text: rows.join("\n"), left: at, top };
  };
}

function spread(box) {
  const all = [box.low, box.high, ...box.outliers];
  return `${formatValue(Math.min(...all))} to ${formatValue(Math.max(...all))}, median ${formatValue(box.quartiles[1])}`;
}

function boxElements(box, x, middle, fill) {
  const [first, median, third] = box.quartiles.map(x);
  const half = 8;
  return [
    svgElement("line", { x1: x(box.low), x2: x(box.high), y1: middle, y2: middle, stroke: fill }),
    ...[box.low, box.high].map((end) => svgElement("line", { x1: x(end), x2: x(end), y1: middle - 5, y2: middle + 5, stroke: fill })),
    svgElement("rect", { x: first, y: middle - half, width: Math.max(third - first, 1), height: 2 * half, rx: 2, class: "box", style: `fill: ${fill}; stroke: ${fill}` }),
    svgElement("line", { x1: median, x2: median, y1: middle - half, y2: middle + half, stroke: "var(--ink)", "stroke-width": 2 }),
    ...box.outliers.map((value) => svgElement("circle", { cx: x(value).toFixed(1), cy: middle, r: 2, fill, "fill-opacity": 0.7 })),
  ];
}

function counts(plot, data, hidden) {
  const shown = data.groups.filter((group) => !hidden.has(group.name));
  const width = plot.clientWidth;
  const high = Math.max(shown.length, 1) * 9 + 11;
  const floor = data.names.length * high;
  const height = floor + 38;
  const { left, short } = names(plot, data.names, width);
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true" });
  const x = scale(shown.flatMap((group) => group.values), [left, width - RIGHT], { zero: true, count: width < 420 ? 3 : 5 });
  verticalMarks(svg, x, floor, data.x, (left + width - RIGHT) / 2);
  data.names.forEach((name, place) => {
    svg.append(svgElement("text", { x: left - 8, y: place * high + high / 2 + 3, "text-anchor": "end" }, short(name)));
    shown.forEach((group, row) => {
      const long = Math.max(x(group.values[place]) - x(0), group.values[place] ? 1 : 0);
      svg.append(svgElement("rect", { x: x(0), y: place * high + 5 + row * 9, width: long, height: 8, rx: 1, fill: colour(data.groups.indexOf(group)) }));
    });
  });
  plot.prepend(svg);
  return (at, top) => {
    const place = Math.floor(top / high);
    if (data.names[place] === undefined) return undefined;
    return { text: [data.names[place], ...shown.map((group) => `${group.name}: ${formatValue(group.values[place])}`)].join("\n"), left: at, top };
  };
}

// Rows of boxes from the input to the output; wider than the screen, it scrolls.
function network(plot, data) {
  const columns = data.boxes.map((box) => box.column).concat(data.lines.flatMap((line) => line.map(([column]) => column)));
  const [least, most] = [Math.min(...columns), Math.max(...columns)];
  const side = Math.min(Math.max(plot.clientWidth / (most - least + 1), 196), 330);
  const width = Math.max(side * (most - least + 1), plot.clientWidth);
  const tall = data.boxes.some((box) => box.text.includes(" + ")) ? 58 : 42;
  const step = tall + ROW_GAP;
  const rows = Math.max(...data.boxes.map((box) => box.row)) + 1;
  const height = rows * step - ROW_GAP + 4;
  const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, height, "aria-hidden": "true", style: `width: ${width}px` });
  const x = (column) => width / 2 + (column - (least + most) / 2) * side;
  const y = (row) => row * step + tall / 2 + 2;
  for (const line of data.lines) svg.append(svgElement("path", { class: "wire", d: wire(line, x, y, tall / 2) }));
  for (const box of data.boxes) svg.append(...layerElements(box, x(box.column), y(box.row), side - 14, tall));
  const holder = htmlElement("div", { class: "scroll" });
  if (width > plot.clientWidth) for (const [name, value] of [["tabindex", "0"], ["role", "group"], ["aria-label", "Diagram"]]) holder.setAttribute(name, value);
  holder.append(svg);
  plot.prepend(holder);
  holder.scrollLeft = (width - plot.clientWidth) / 2;
  return (left, top) => {
    const at = left + holder.scrollLeft;
    const box = data.boxes.find((one) => Math.abs(x(one.column) - at) < side / 2 && Math.abs(y(one.row) - top) < tall / 2);
    return box && { text: [...box.text.split(" + "), box.shape, `${new Intl.NumberFormat("en").format(box.parameters)} parameters`].join("\n"), left, top };
  };
}

function wire(line, x, y, half) {
  let d = "";
  line.slice(1).forEach(([column, row], place) => {
    const [before, above] = line[place];
    const [x1, y1, x2, y2] = [x(before), y(above) + half, x(column), y(row) - half];
    const middle = (y1 + y2) / 2;
    d += `${place ? `L${x1} ${y1}` : `M${x1} ${y1}`}C${x1} ${middle} ${x2} ${middle} ${x2} ${y2}`;
  });
  return d;
}

function layerElements(box, middle, center, width, tall) {
  const short = (text, letter) => (text.length * letter > width - 10 ? `${text.slice(0, Math.floor((width - 10) / letter) - 1)}…` : text);
  const [first, ...more] = box.text.split(" + ");
  const texts = [first, ...(more.length ? [`+ ${more.join(", ")}`] : []), shapeText(box, (width - 10) / 6.6)];
  const top = center - (texts.length - 1) * 8 + 4;
  return [
    svgElement("rect", { x: middle - width / 2, y: center - tall / 2, width, height: tall, rx: 6, class: box.folded ? "layer folded" : "layer" }),
    ...texts.map((text, place) => svgElement("text", { class: place ? "" : "first", x: middle, y: top + place * 16, "text-anchor": "middle" }, short(text, place ? 6.6 : 7.4))),
  ];
}

// Shape and number of parameters, which is rounded if the box has no space for all digits.
function shapeText(box, letters) {
  if (!box.parameters) return box.shape;
  const [whole, rounded] = [{}, { notation: "compact", maximumSignificantDigits: 3 }].map((options) => `${box.shape} · ${new Intl.NumberFormat("en", options).format(box.parameters)} params`);
  return whole.length <= letters ? whole : rounded;
}
