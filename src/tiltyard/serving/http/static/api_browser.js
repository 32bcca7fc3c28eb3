// All routes of the service by its OpenAPI document, which is fetched when the list is opened.

import { request } from "./api.js";
import { element } from "./element.js";

const METHODS = ["get", "post"]; // a path has other keys, too, such as the parameters that all methods share

export function showRoutes(box) {
  box.addEventListener("toggle", async () => {
    if (!box.open || box.children.length > 1) return;
    const list = element("div", { role: "status" }, "Loading the routes.");
    box.append(list);
    try {
      const { paths } = await request("v1/openapi.json");
      const shown = Object.entries(paths).flatMap(([path, methods]) => METHODS.filter((method) => methods[method]).map((method) => route(path, method, methods[method])));
      list.replaceChildren(...shown);
    } catch ({ message }) {
      list.replaceChildren(message);
      list.addEventListener("click", () => list.remove(), { once: true });
      box.addEventListener("toggle", () => list.remove(), { once: true }); // try again when it is opened again
    }
  });
}

function route(path, method, { summary = "", description = "", requestBody, responses = {} }) {
  const head = element("summary", {}, element("code", {}, `${method.toUpperCase()} ${path}`), ` ${summary}`);
  const bodies = Object.entries(requestBody?.content ?? {}).map(([type, { example }]) =>
    example === undefined ? element("p", {}, "Body: ", element("code", {}, type)) : [element("p", {}, "Body: ", element("code", {}, type)), code(example, `Example of the body of ${path}`)]);
  const statuses = Object.entries(responses).map(([status, { description: text = "" }]) => element("li", {}, element("code", {}, status), ` ${text}`));
  return element("details", { class: "route" }, head, description ? element("p", {}, description) : "", bodies, element("ul", {}, statuses));
}

function code(example, label) {
  const text = typeof example === "string" ? example : JSON.stringify(example, null, 2);
  return element("pre", { tabindex: 0, role: "group", "aria-label": label }, text);
}
