// The ground truth of a prediction, which is sent back if the service records its predictions.

import { request } from "./api.js";
import { element, unique } from "./element.js";
import { parseNumber } from "./frame.js";

export function truthForm(schema, headers, prediction) {
  const [id, token] = ["x-request-id", "x-feedback-token"].map((name) => headers.get(name));
  const plain = typeof prediction === "number" || typeof prediction?.label === "string";
  if (!id || !token || !plain) return "";
  const labels = prediction.probabilities ? Object.keys(prediction.probabilities) : [];
  const field = labels.length ? element("select", {}, labels.map((name) => element("option", {}, name))) : element("input", { type: "text", inputmode: "text", autocomplete: "off" });
  field.id = unique("truth");
  const status = element("span", { role: "status" });
  const send = async () => {
    const truth = labels.length ? field.value : parseNumber(field.value);
    const body = JSON.stringify({ feedback: [{ id, token, truth }] });
    try {
      await request(`v1/models/${encodeURIComponent(schema.task)}:feedback`, body, "application/json");
      status.textContent = "Stored.";
    } catch ({ message }) {
      status.textContent = message;
    }
  };
  const button = element("button", { type: "button", click: send }, "Send");
  return element("p", { class: "row" }, element("label", { for: field.id }, "The truth was"), element("span", {}, field), button, status);
}
