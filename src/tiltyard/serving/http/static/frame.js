// What every field has around its control, and how numbers are read.

import { element, unique } from "./element.js";

// A frame around a control: its label, what may stand in it, and what the service said against it.
export function framed(text, control, hint, ...below) {
  const label = element("label", { for: control.id }, text);
  const told = element("span", { id: unique("hint"), class: "hint" }, hint);
  const wrong = element("span", { id: unique("wrong"), class: "wrong" });
  const first = control.type === "checkbox" ? [element("span", { class: "row" }, control, label)] : [label, control];
  const frame = element("div", { class: "field" }, first, hint ? told : "", below, wrong);
  control.setAttribute("aria-describedby", hint ? `${told.id} ${wrong.id}` : wrong.id);
  const refuse = (message) => {
    wrong.textContent = message;
    if (message) control.setAttribute("aria-invalid", "true");
    else control.removeAttribute("aria-invalid");
  };
  return { frame, refuse };
}

export function numeral(text) {
  const bare = text.trim();
  if (!bare) return null;
  return /^[-+]?[\d.]/.test(bare) && Number.isFinite(Number(bare)) ? Number(bare) : bare;
}
