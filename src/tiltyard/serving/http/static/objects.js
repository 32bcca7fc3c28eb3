// Objects found in a picture, drawn as boxes over it, or the label of each pixel, drawn as colours over it.

import { element, formatNumber } from "./element.js";

const SIDE = 320; // pixels of the longer side, as drawn
const COLOURS = ["#e6194b", "#3cb44b", "#0082c8", "#f58231", "#911eb4", "#008080", "#aa6e28", "#800000"];
const MAX_ROWS = 32; // of the table of objects

export function objects(instance, { objects: found }) {
  const canvas = picture(instance, `The picture with ${found.length} boxes`, (context, scale) => {
    for (const [place, one] of found.entries()) box(context, scale, one, COLOURS[place % COLOURS.length]);
  });
  const heading = element("strong", { class: "large" }, found.map(({ label }) => label).join(", ") || "no object");
  const rows = found.slice(0, MAX_ROWS).map(({ label, score, box: corners, id }) => {
    const name = id === undefined ? label : `${label} (id ${id})`;
    const cells = [formatNumber(score, 3), corners.map((corner) => formatNumber(corner, 4)).join(", ")];
    return element("tr", {}, element("th", { scope: "row" }, name), cells.map((cell) => element("td", {}, cell)));
  });
  const head = element("tr", {}, ["object", "score", "left, top, right, bottom"].map((name) => element("th", { scope: "col" }, name)));
  const table = element("table", {}, element("thead", {}, head), element("tbody", {}, rows));
  return [element("p", {}, heading), element("div", { class: "image" }, canvas), ...(found.length ? [table] : [])];
}

export function mask(instance, { mask: png, shares }) {
  const canvas = picture(instance, "The picture with the label of each pixel", async (context) => {
    const over = await load(`data:image/png;base64,${png}`);
    context.globalAlpha = 0.6;
    context.globalCompositeOperation = "lighter"; // black, the first label, leaves the picture as it is
    context.imageSmoothingEnabled = false;
    context.drawImage(over, 0, 0, context.canvas.width, context.canvas.height);
  });
  const there = Object.entries(shares).filter(([, share]) => share > 0);
  const rows = there.sort(([, first], [, second]) => second - first).map(([name, share]) => {
    return element("tr", {}, element("th", { scope: "row" }, name), element("td", {}, `${formatNumber(share * 100, 3)} %`));
  });
  const table = element("table", {}, element("tbody", {}, rows));
  return [element("div", { class: "image" }, canvas), element("p", { class: "hint" }, "Share of pixels by label"), table];
}

// Draws the instance as it was sent, enlarged, and then something over it.
function picture(instance, title, over) {
  const canvas = element("canvas", { width: SIDE, height: SIDE, role: "img", "aria-label": title });
  canvas.dataset.state = "loading";
  draw(canvas, instance, over).then(
    () => (canvas.dataset.state = "drawn"),
    () => canvas.replaceWith(element("p", { class: "wrong" }, "This browser cannot show the picture.")),
  );
  return canvas;
}

async function draw(canvas, instance, over) {
  const source = Array.isArray(instance) ? nested(instance) : await load(`data:image/png;base64,${instance.b64}`);
  const scale = SIDE / Math.max(source.width, source.height);
  Object.assign(canvas, { width: Math.round(source.width * scale), height: Math.round(source.height * scale) });
  const context = canvas.getContext("2d");
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  await over(context, scale);
}

function nested(rows) {
  const [height, width] = [rows.length, rows[0].length];
  const canvas = element("canvas", { width, height });
  const context = canvas.getContext("2d");
  const data = context.createImageData(width, height);
  rows.flat().forEach((pixel, place) => data.data.set([...[pixel, pixel, pixel].flat().slice(0, 3), 255], 4 * place));
  context.putImageData(data, 0, 0);
  return canvas;
}

async function load(address) {
  const source = new Image();
  source.src = address;
  await source.decode();
  return source;
}

function box(context, scale, { label, box: corners, id }, colour) {
  const [left, top, right, bottom] = corners.map((corner) => corner * scale);
  Object.assign(context, { strokeStyle: colour, fillStyle: colour, lineWidth: 2, font: "bold 14px sans-serif" });
  context.strokeRect(left, top, right - left, bottom - top);
  context.fillText(id === undefined ? label : `${label} #${id}`, left + 3, top > 14 ? top - 3 : top + 14);
}
