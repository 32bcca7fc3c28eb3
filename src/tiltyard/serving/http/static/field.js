// The input field for a value of an instance, chosen by the schema of the value.

import { element, formatNumber, unique } from "./element.js";
import { fieldFrame, parseNumber } from "./frame.js";
import { image, isImage } from "./image.js";
import { series } from "./series.js";

const DEFAULT_DATE_FORMAT = "%Y-%m-%d";

export function field(name, schema, fallback) {
  if (isImage(schema)) return image(name, schema);
  if (schema.type === "array") return series(name, schema);
  return plain(name, schema, fallback);
}

export function isProse(schema) {
  return Boolean(schema.oneOf?.[1]?.properties?.prompt);
}

function plain(name, schema, fallback) {
  const types = [schema.type ?? []].flat();
  const nullable = types.includes("null") || (schema.enum?.includes(null) ?? false);
  const input = control(schema, types, nullable);
  input.node.id = unique("value");
  const hint = [hintText(schema, types), nullable ? "may be left empty" : ""].filter(Boolean).join("; ");
  const { frame, refuse } = fieldFrame(name.replaceAll("_", " ") || fallback, input.node, hint, input.beside ?? "");
  return { name, frame, control: input.node, refuse, read: input.read, write: input.write };
}

function control(schema, types, nullable) {
  const { enum: values } = schema;
  if (values?.includes(true) && values.includes(false)) return nullable ? choice([true, false, null]) : check();
  if (values) return choice(values);
  if (types.includes("number") || (types.includes("integer") && !types.includes("string"))) return number(schema);
  if (schema.format === "date") return line(element("input", { type: "date" }));
  if (schema.pattern) return line(element("input", { type: "text", autocomplete: "off" }));
  if (types.includes("integer")) return name(schema.examples ?? []);
  return line(element("textarea", { rows: 4 }), nullable);
}

function check() {
  const node = element("input", { type: "checkbox" });
  return { node, read: () => node.checked, write: (value) => (node.checked = Boolean(value)) };
}

function choice(values) {
  const labels = { true: "yes", false: "no", null: "not known" };
  const options = values.map((value, index) => element("option", { value: index }, labels[value] ?? String(value)));
  const node = element("select", {}, options);
  const write = (value) => (node.selectedIndex = Math.max(0, values.indexOf(value)));
  return { node, read: () => values[node.selectedIndex], write };
}

// Invalid numbers are sent as typed, so that the service reports the error.
function number(schema) {
  const mode = schema.minimum >= 0 ? "decimal" : "text"; // the decimal keyboard of a phone may have no minus
  const node = element("input", { type: "text", inputmode: mode, autocomplete: "off" });
  const read = () => parseNumber(node.value);
  return { node, read, write: (value) => (node.value = value ?? "") };
}

function line(node, nullable = true) {
  return { node, read: () => (node.value || !nullable ? node.value : null), write: (value) => (node.value = value ?? "") };
}

function name(examples) {
  const list = element("datalist", { id: unique("names") }, examples.map((value) => element("option", { value })));
  const node = element("input", { type: "text", list: list.id, autocomplete: "off" });
  return { ...line(node), beside: list };
}

function hintText(schema, types) {
  const { minimum, maximum, description = "" } = schema;
  if (schema.format === "date") return description.replace(DEFAULT_DATE_FORMAT, "").replace(/^, /, "");
  if (schema.pattern) return `format: ${description}`;
  if (!types.includes("number") && !types.includes("integer")) return description;
  const [low, high] = [minimum, maximum].map((end) => (Math.abs(end) < 1e15 ? formatNumber(end, 12) : ""));
  const span = low && high ? `${low} to ${high}` : low ? `from ${low}` : high ? `up to ${high}` : "";
  return [span, description].filter(Boolean).join(" ");
}
