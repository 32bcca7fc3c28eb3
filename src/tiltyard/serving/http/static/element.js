// Elements. What a model, a card or a refusal says is put in as text, and never read as HTML.

const SVG = "http://www.w3.org/2000/svg";
let made = 0;

export function element(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

export function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

export function unique(what) {
  made += 1;
  return `${what}-${made}`;
}

export function figure(value, digits = 4) {
  const size = Math.abs(value);
  const notation = size !== 0 && (size >= 1e15 || size < 1e-4) ? "scientific" : "standard";
  return new Intl.NumberFormat("en", { maximumSignificantDigits: digits, notation }).format(value);
}

export function marked(text) {
  return text.split("`").map((part, place) => (place % 2 ? element("code", {}, part) : part));
}

function filled(one, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") one.addEventListener(name, value);
    else if (value !== false && value !== undefined) one.setAttribute(name, value === true ? "" : value);
  }
  one.append(...children.flat(Infinity).filter((child) => child !== "" && child !== null && child !== undefined));
  return one;
}
