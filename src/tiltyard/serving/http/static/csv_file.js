// Predictions for a CSV file: it is chosen or dropped, and the rows with their predictions are downloaded.

import { request } from "./api.js";
import { element, unique } from "./element.js";

export function csvFile(schema, onError) {
  const kinds = schema.instance.type === "object" ? Object.values(schema.instance.properties) : [];
  if (!kinds.length || kinds.some(({ type, oneOf }) => type === "array" || oneOf)) return "";
  const file = element("input", { type: "file", accept: ".csv,text/csv", id: unique("csv") });
  const result = element("div", { role: "status", class: "answer" });
  const most = schema.limits?.max_instances;
  const hint = `A heading line with the names of the columns${most ? `; at most ${most} rows` : ""}. Or drop a file here.`;
  const box = element("details", { class: "csv" }, element("summary", {}, "Predict the rows of a CSV file"),
    element("label", { for: file.id }, "CSV file"), file, element("p", { class: "hint" }, hint), result);
  const read = async (chosen) => {
    result.replaceChildren(element("p", {}, `${chosen.name} is sent.`));
    try {
      const text = await chosen.text();
      const { predictions } = await request(`v1/models/${encodeURIComponent(schema.task)}:predict`, text, "text/csv");
      result.replaceChildren(...downloads(schema.task, text, predictions));
    } catch (error) {
      result.replaceChildren(element("p", { class: "wrong" }, error.field ? `${error.field}: ${error.message}` : error.message));
      if (error.status !== undefined) onError(error);
    }
  };
  file.addEventListener("change", () => file.files[0] && read(file.files[0]));
  box.addEventListener("dragover", (event) => event.preventDefault());
  box.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) read(event.dataTransfer.files[0]);
  });
  return box;
}

function downloads(task, text, predictions) {
  const [head, ...rows] = records(text);
  const names = [...new Set(predictions.flatMap((one) => Object.keys(columns(one))))];
  const lines = predictions.map((one, place) => [...(rows[place] ?? []), ...names.map((name) => columns(one)[name] ?? "")]);
  const content = [[...head, ...names], ...lines].map((line) => line.map(cell).join(",")).join("\r\n");
  const href = URL.createObjectURL(new Blob([`${content}\r\n`], { type: "text/csv" }));
  const link = element("a", { href, download: `${task}-predictions.csv` }, "Download the rows with their predictions");
  return [element("p", {}, `${predictions.length} rows were predicted. `, link)];
}

// A prediction as columns: a label with probabilities, numbers by name, or one value.
function columns(prediction) {
  if (prediction === null || typeof prediction !== "object") return { prediction };
  const flat = Object.entries(prediction).flatMap(([name, value]) =>
    value !== null && typeof value === "object" && !Array.isArray(value)
      ? Object.entries(value).map(([inner, one]) => [`${name} ${inner}`, one])
      : [[name, Array.isArray(value) ? value.join(" ") : value]]);
  return Object.fromEntries(flat.map(([name, value]) => [name === "label" ? "prediction" : name, value]));
}

// A spreadsheet would read a text such as "=1+1" as a formula.
function cell(value) {
  if (typeof value === "number") return String(value);
  const text = /^[=+@\t\r]/.test(value) ? `'${value}` : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

// The records of a CSV text, with quoted cells; empty lines are left out, as by the service.
function records(text) {
  const delimiter = [",", ";", "\t", "|"].reduce((best, one) => (count(text, one) > count(text, best) ? one : best));
  const found = [[""]];
  let quoted = false;
  for (const [place, letter] of [...text.replace(/^\ufeff/, "")].entries()) {
    const record = found.at(-1);
    if (letter === '"') {
      if (!quoted && text[place - 1] === '"' && record.at(-1) !== "") record[record.length - 1] += '"';
      quoted = !quoted;
    } else if (quoted || ![delimiter, "\n", "\r"].includes(letter)) record[record.length - 1] += letter;
    else if (letter === delimiter) record.push("");
    else if (letter === "\n") found.push([""]);
  }
  return found.filter((record) => record.some((one) => one !== ""));
}

function count(text, letter) {
  return text.split("\n", 1)[0].split(letter).length;
}
