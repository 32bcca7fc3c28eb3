// Image input: drawn with finger or mouse in the pixels that the model receives, or loaded from a file.

import { element, unique } from "./element.js";
import { fieldFrame } from "./frame.js";

const MAX_LIST_NUMBERS = 1024; // images of up to so many numbers are sent as readable lists, larger ones as PNG

export function isImage(schema) {
  return Boolean(schema.oneOf?.[1]?.properties?.b64);
}

export function image(name, schema) {
  const grid = new Grid(schema.oneOf[0]);
  const node = element("canvas", { width: grid.width, height: grid.height, role: "img", "aria-label": grid.title });
  node.classList.toggle("drawable", grid.channels === 1);
  const file = element("input", { type: "file", accept: "image/*", id: unique("value") });
  const clear = element("button", { type: "button" }, "Clear");
  const hint = `any image; it is scaled to ${grid.width}x${grid.height} pixels`;
  const { frame, refuse } = fieldFrame("Or a file", file, hint);
  const hintText = grid.channels === 1 ? "Draw here, or drop an image" : "Drop an image here";
  const prompt = name ? `${name.replaceAll("_", " ")}: ${hintText.toLowerCase()}` : hintText;
  const box = element("div", { class: "image" }, element("p", { class: "hint" }, prompt), node, clear);
  frame.prepend(box);
  const input = { name, frame, control: file, refuse };
  const state = { grid, node, sentValue: undefined, drawn: false };
  const blank = element("p", { class: "hint", role: "status" });
  box.append(blank);
  const changed = () => {
    paint(state);
    blank.textContent = grid.isBlank() ? "The image is blank: all of its pixels are the same." : "";
    node.dispatchEvent(new Event("input", { bubbles: true }));
  };
  input.read = () => state.sentValue ?? encode(state);
  input.write = (value) => show(state, value, changed, refuse);
  clear.addEventListener("click", () => {
    file.value = "";
    clearImage(state);
    changed();
  });
  file.addEventListener("change", () => file.files[0] && loadFile(state, file.files[0], changed, refuse));
  if (grid.channels === 1) enableDrawing(state, changed);
  enableDrop(frame, (dropped) => loadFile(state, dropped, changed, refuse));
  return input;
}

// Pixels, and the background colour of a drawing, which is that of the example's edge.
class Grid {
  constructor(nested) {
    [this.height, this.width] = [nested.maxItems, nested.items.maxItems];
    this.channels = nested.items.items.maxItems ?? 1;
    this.pixels = new Float32Array(this.height * this.width * this.channels);
    this.background = 0;
    this.title = `The image that is sent, ${this.width} by ${this.height} pixels`;
  }

  fill(values) {
    this.pixels.set(values);
  }

  isBlank() {
    return this.pixels.every((value) => value === this.pixels[0]);
  }

  setBackground() {
    const edge = [...this.pixels.slice(0, this.width * this.channels)];
    this.background = edge.reduce((sum, value) => sum + value, 0) / edge.length < 128 ? 0 : 255;
  }

  // Draws an antialiased line.
  line([ax, ay], [bx, by]) {
    const [dx, dy, radius] = [bx - ax, by - ay, Math.max(this.width / 18, 0.75)];
    for (let index = 0; index < this.pixels.length; index += 1) {
      const [x, y] = [(index % this.width) + 0.5, Math.floor(index / this.width) + 0.5];
      const along = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
      const covered = Math.min(1, radius + 0.5 - Math.hypot(x - ax - along * dx, y - ay - along * dy));
      if (covered <= 0) continue;
      const ink = Math.round(covered * 255);
      this.pixels[index] = this.background ? Math.min(this.pixels[index], 255 - ink) : Math.max(this.pixels[index], ink);
    }
  }

  nested() {
    const values = Array.from(this.pixels);
    const split = (list, size) => Array.from({ length: list.length / size }, (_, i) => list.slice(i * size, (i + 1) * size));
    return split(this.channels > 1 ? split(values, this.channels) : values, this.width);
  }
}

function paint({ grid, node }) {
  const data = new ImageData(grid.width, grid.height);
  for (let index = 0; index < grid.width * grid.height; index += 1) {
    const start = index * grid.channels;
    for (let channel = 0; channel < 3; channel += 1) data.data[index * 4 + channel] = grid.pixels[start + (grid.channels > 1 ? channel : 0)];
    data.data[index * 4 + 3] = 255;
  }
  node.getContext("2d").putImageData(data, 0, 0);
}

function encode({ grid, node }) {
  if (grid.pixels.length <= MAX_LIST_NUMBERS) return grid.nested();
  return { b64: node.toDataURL("image/png").replace(/^.*?,/, "") };
}

function clearImage(state) {
  state.grid.pixels.fill(state.grid.background);
  Object.assign(state, { sentValue: undefined, drawn: false });
}

// The example is sent as in the schema until an image is drawn or loaded.
async function show(state, value, changed, refuse) {
  if (Array.isArray(value)) state.grid.fill(value.flat(2));
  else await load(state, `data:image/png;base64,${value.b64}`).catch(() => refuse("This browser cannot show the example."));
  state.grid.setBackground();
  Object.assign(state, { sentValue: value, drawn: false });
  changed();
}

async function loadFile(state, file, changed, refuse) {
  const address = URL.createObjectURL(file);
  try {
    await load(state, address);
    Object.assign(state, { sentValue: undefined, drawn: true });
    refuse("");
    changed();
  } catch {
    refuse(`expected an image that this browser can read; received ${file.name}`);
  } finally {
    URL.revokeObjectURL(address);
  }
}

async function load({ grid }, address) {
  const source = new Image();
  source.src = address;
  await source.decode();
  const scaled = element("canvas", { width: grid.width, height: grid.height }).getContext("2d");
  Object.assign(scaled, { imageSmoothingQuality: "high", fillStyle: "#fff" });
  scaled.fillRect(0, 0, grid.width, grid.height);
  scaled.drawImage(source, 0, 0, grid.width, grid.height);
  const { data } = scaled.getImageData(0, 0, grid.width, grid.height);
  for (let index = 0; index < grid.width * grid.height; index += 1) {
    const [red, green, blue] = data.slice(index * 4, index * 4 + 3);
    if (grid.channels > 1) grid.pixels.set([red, green, blue], index * 3);
    else grid.pixels[index] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
  }
}

function enableDrawing(state, changed) {
  const { grid, node } = state;
  let last;
  const position = (event) => {
    const box = node.getBoundingClientRect();
    return [((event.clientX - box.left) / box.width) * grid.width, ((event.clientY - box.top) / box.height) * grid.height];
  };
  node.addEventListener("pointerdown", (event) => {
    if (!state.drawn) clearImage(state); // drawing replaces the example
    Object.assign(state, { sentValue: undefined, drawn: true });
    node.setPointerCapture(event.pointerId);
    last = position(event);
    grid.line(last, last);
    changed();
  });
  node.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const moved of [...(event.getCoalescedEvents?.() ?? []), event]) {
      grid.line(last, position(moved));
      last = position(moved);
    }
    changed();
  });
  for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (last = undefined));
}

function enableDrop(frame, onFile) {
  frame.addEventListener("dragover", (event) => event.preventDefault());
  frame.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) onFile(file);
  });
}
