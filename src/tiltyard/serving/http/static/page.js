// The page: lists the models, each with its card and form.

import { hasKey, request, setKey } from "./api.js";
import { showRoutes } from "./api_browser.js";
import { card, identity } from "./card.js";
import { element } from "./element.js";
import { csvFile } from "./csv_file.js";
import { form } from "./form.js";
import { recommendations } from "./recommend.js";
import { sampler } from "./sampler.js";

const [models, state, names, key] = ["models", "state", "names", "key"].map((id) => document.getElementById(id));
const forms = [];
const MOST_WITHOUT_SEARCH = 5; // models

async function show() {
  try {
    const { models: tasks } = await request("v1/models");
    const schemas = await Promise.all(tasks.map((name) => request(`v1/models/${encodeURIComponent(name)}/schema`)));
    forms.length = 0;
    models.replaceChildren(state, ...schemas.map(article));
    names.replaceChildren(...(tasks.length > MOST_WITHOUT_SEARCH ? [searchField()] : []), element("ul", {}, schemas.map(link)));
    names.hidden = tasks.length < 2;
    state.textContent = tasks.length ? "" : "No model is served yet.";
    showNamed();
  } catch (error) {
    state.textContent = error.status === 401 ? "Enter the key to see the models." : error.message;
    askForKey(error);
  }
}

// One model is shown at a time: that which the address names, or the first.
function showNamed() {
  const articles = [...models.querySelectorAll("article")];
  const named = decodeURIComponent(location.hash.slice(1));
  const shown = articles.find(({ id }) => id === named) ?? articles[0];
  for (const one of articles) one.hidden = one !== shown;
  for (const one of names.querySelectorAll("a")) {
    if (decodeURIComponent(one.hash.slice(1)) === shown?.id) one.setAttribute("aria-current", "page");
    else one.removeAttribute("aria-current");
  }
}

function searchField() {
  const field = element("input", { type: "search", "aria-label": "Search models", placeholder: "Search models" });
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const one of names.querySelectorAll("li")) one.hidden = !words.every((word) => one.textContent.toLowerCase().includes(word));
  });
  return field;
}

function link({ task, title }) {
  return element("li", {}, element("a", { href: `#${encodeURIComponent(task)}` }, title, element("code", {}, task)));
}

function article(schema) {
  const modelForm = form(schema, askForKey);
  forms.push(modelForm);
  const head = element("h2", {}, schema.title);
  const parts = [recommendations(schema, askForKey), modelForm.node];
  const samples = schema.sampling ? sampler(schema, modelForm.read, askForKey) : null;
  if (samples) forms.push(samples);
  const answered = [modelForm.output, modelForm.code];
  const halves = element("div", { class: "halves" }, element("div", {}, parts), element("div", { class: "answers" }, answered));
  return element("article", { id: schema.task }, head, identity(schema), halves, csvFile(schema, askForKey), samples?.node, card(schema));
}

// A service that requires a key responds with 401, at once or when keys change.
function askForKey(error) {
  if (error.status !== 401) return;
  key.hidden = false;
  document.getElementById("wrong").textContent = hasKey() ? "The service does not know this key." : "";
  document.getElementById("secret").focus();
}

key.addEventListener("submit", (event) => {
  event.preventDefault();
  const secret = document.getElementById("secret");
  setKey(secret.value.trim());
  secret.value = "";
  key.hidden = true;
  if (forms.length) for (const modelForm of forms) modelForm.redraw();
  else show();
});

addEventListener("hashchange", showNamed);
showRoutes(document.getElementById("routes"));
show();
