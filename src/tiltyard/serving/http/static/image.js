// Image input: drawn with finger or mouse in the pixels that the model receives, or loaded from a file.

import { element, unique } from "./element.js";
import { fieldFrame } from "./frame.js";

const MAX_LIST_NUMBERS = 1024; // images of up to so many numbers are sent as readable lists, larger ones as PNG

export function isImage(schema) {
  return Boolean(schema.oneOf?.[1]?.properties?.b64);
}

export function image(schema) {
  const grid = new Grid(schema.oneOf[0]);
  const node = element("canvas", { width: grid.width, height: grid.height, role: "img", "aria-label": grid.title });
  node.classList.toggle("drawable", grid.channels === 1);
  const file = element("input", { type: "file", accept: "image/*", id: unique("value") });
  const clear = element("button", { type: "button" }, "Clear");
  const hint = `any image; it is scaled to ${grid.width}x${grid.height} pixels`;
  const { frame, refuse } = fieldFrame("Or a file", file, hint);
  const prompt = grid.channels === 1 ? "Draw here, or drop an image" : "Drop an image here";
  const box = element("div", { class: "image" }, element("p", { class: "hint" }, prompt), node, clear);
  frame.prepend(box);
  const one = { name: "", frame, control: file, refuse };
  const state = { grid, node, given: undefined, drawn: false };
  const changed = () => {
    paint(state);
    node.dispatchEvent(new Event("input", { bubbles: true }));
  };
  one.read = () => state.given ?? encode(state);
  one.write = (value) => show(state, value, changed, refuse);
  clear.addEventListener("click", () => {
    file.value = "";
    wipe(state);
    changed();
  });
  file.addEventListener("change", () => file.files[0] && loadFile(state, file.files[0], changed, refuse));
  if (grid.channels === 1) enableDrawing(state, changed);
  enableDrop(frame, (dropped) => loadFile(state, dropped, changed, refuse));
  return one;
}

// Pixels, and the background colour of a drawing, which is that of the example's edge.
class Grid {
  constructor(nested) {
    [this.height, this.width] = [nested.maxItems, nested.items.maxItems];
    this.channels = nested.items.items.maxItems ?? 1;
    this.pixels = new Float32Array(this.height * this.width * this.channels);
    this.ground = 0;
    this.title = `The image that is sent, ${this.width} by ${this.height} pixels`;
  }

  fill(values) {
    this.pixels.set(values);
  }

  setGround() {
    const edge = [...this.pixels.slice(0, this.width * this.channels)];
    this.ground = edge.reduce((sum, value) => sum + value, 0) / edge.length < 128 ? 0 : 255;
  }

  // Draws an antialiased line.
  line([ax, ay], [bx, by]) {
    const [dx, dy, radius] = [bx - ax, by - ay, Math.max(this.width / 18, 0.75)];
    for (let place = 0; place < this.pixels.length; place += 1) {
      const [x, y] = [(place % this.width) + 0.5, Math.floor(place / this.width) + 0.5];
      const along = Math.min(1, Math.max(0, ((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy || 1)));
      const covered = Math.min(1, radius + 0.5 - Math.hypot(x - ax - along * dx, y - ay - along * dy));
      if (covered <= 0) continue;
      const ink = Math.round(covered * 255);
      this.pixels[place] = this.ground ? Math.min(this.pixels[place], 255 - ink) : Math.max(this.pixels[place], ink);
    }
  }

  nested() {
    const values = Array.from(this.pixels);
    const cut = (list, size) => Array.from({ length: list.length / size }, (_, i) => list.slice(i * size, (i + 1) * size));
    return cut(this.channels > 1 ? cut(values, this.channels) : values, this.width);
  }
}

function paint({ grid, node }) {
  const data = new ImageData(grid.width, grid.height);
  for (let place = 0; place < grid.width * grid.height; place += 1) {
    const from = place * grid.channels;
    for (let part = 0; part < 3; part += 1) data.data[place * 4 + part] = grid.pixels[from + (grid.channels > 1 ? part : 0)];
    data.data[place * 4 + 3] = 255;
  }
  node.getContext("2d").putImageData(data, 0, 0);
}

function encode({ grid, node }) {
  if (grid.pixels.length <= MAX_LIST_NUMBERS) return grid.nested();
  return { b64: node.toDataURL("image/png").replace(/^.*?,/, "") };
}

function wipe(state) {
  state.grid.pixels.fill(state.grid.ground);
  Object.assign(state, { given: undefined, drawn: false });
}

// The example is sent as in the schema until an image is drawn or loaded.
async function show(state, value, changed, refuse) {
  if (Array.isArray(value)) state.grid.fill(value.flat(2));
  else await load(state, `data:image/png;base64,${value.b64}`).catch(() => refuse("This browser cannot show the example."));
  state.grid.setGround();
  Object.assign(state, { given: value, drawn: false });
  changed();
}

async function loadFile(state, file, changed, refuse) {
  const address = URL.createObjectURL(file);
  try {
    await load(state, address);
    Object.assign(state, { given: undefined, drawn: true });
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
  for (let place = 0; place < grid.width * grid.height; place += 1) {
    const [red, green, blue] = data.slice(place * 4, place * 4 + 3);
    if (grid.channels > 1) grid.pixels.set([red, green, blue], place * 3);
    else grid.pixels[place] = Math.round(0.299 * red + 0.587 * green + 0.114 * blue);
  }
}

function enableDrawing(state, changed) {
  const { grid, node } = state;
  let last;
  const at = (event) => {
    const place = node.getBoundingClientRect();
    return [((event.clientX - place.left) / place.width) * grid.width, ((event.clientY - place.top) / place.height) * grid.height];
  };
  node.addEventListener("pointerdown", (event) => {
    if (!state.drawn) wipe(state); // drawing replaces the example
    Object.assign(state, { given: undefined, drawn: true });
    node.setPointerCapture(event.pointerId);
    last = at(event);
    grid.line(last, last);
    changed();
  });
  node.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const moved of [...(event.getCoalescedEvents?.() ?? []), event]) {
      grid.line(last, at(moved));
      last = at(moved);
    }
    changed();
  });
  for (const end of ["pointerup", "pointercancel"]) node.addEventListener(end, () => (last = undefined));
}

function enableDrop(frame, take) {
  frame.addEventListener("dragover", (event) => event.preventDefault());
  frame.addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) take(file);
  });
}
