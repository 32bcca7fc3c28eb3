// Label, hint and error message around a control, and parsing of numbers.

import { element, unique } from "./element.js";

// Returns a frame with label, hint and error message of a control.
export function fieldFrame(text, control, hint, ...below) {
  const label = element("label", { for: control.id }, text);
  const hintNode = element("span", { id: unique("hint"), class: "hint" }, hint);
  const errorNode = element("span", { id: unique("wrong"), class: "wrong" });
  const first = control.type === "checkbox" ? [element("span", { class: "row" }, control, label)] : [label, control];
  const frame = element("div", { class: "field" }, first, hint ? hintNode : "", below, errorNode);
  control.setAttribute("aria-describedby", hint ? `${hintNode.id} ${errorNode.id}` : errorNode.id);
  const refuse = (message) => {
    errorNode.textContent = message;
    if (message) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  return { frame, refuse };
}

export function parseNumber(text) {
  const trimmed = text.trim();
  if (!trimmed) return null;
  return /^[-+]?[\d.]/.test(trimmed) && Number.isFinite(Number(trimmed)) ? Number(trimmed) : trimmed;
}
