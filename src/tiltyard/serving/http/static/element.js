// DOM elements. Texts of models, cards and errors are inserted as text, never parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";
let created = 0;

export function element(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svgElement(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

export function unique(prefix) {
  created += 1;
  return `${prefix}-${created}`;
}

export function formatNumber(value, digits = 4) {
  const size = Math.abs(value);
  const notation = size !== 0 && (size >= 1e15 || size < 1e-4) ? "scientific" : "standard";
  return new Intl.NumberFormat("en", { maximumSignificantDigits: digits, notation }).format(value);
}

export function withCode(text) {
  return text.split("`").map((part, index) => (index % 2 ? element("code", {}, part) : part));
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== false && value !== undefined) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== "" && child !== null && child !== undefined));
  return node;
}
