// The page: lists the models, each with its card and form.

import { hasKey, request, setKey } from "./api.js";
import { card, identity } from "./card.js";
import { element } from "./element.js";
import { form } from "./form.js";
import { recommendations } from "./recommend.js";
import { sampler } from "./sampler.js";

const [models, state, names, key] = ["models", "state", "names", "key"].map((id) => document.getElementById(id));
const forms = [];

async function show() {
  try {
    const { models: tasks } = await request("v1/models");
    const schemas = await Promise.all(tasks.map((name) => request(`v1/models/${encodeURIComponent(name)}/schema`)));
    forms.length = 0;
    models.replaceChildren(state, ...schemas.map(article));
    names.replaceChildren(element("ul", {}, schemas.map(link)));
    names.hidden = tasks.length < 2;
    state.textContent = tasks.length ? "" : "No model is served yet.";
    document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  } catch (error) {
    state.textContent = error.status === 401 ? "Enter the key to see the models." : error.message;
    askForKey(error);
  }
}

function link({ task, title }) {
  return element("li", {}, element("a", { href: `#${encodeURIComponent(task)}` }, title));
}

function article(schema) {
  const modelForm = form(schema, askForKey);
  forms.push(modelForm);
  const head = element("h2", {}, schema.title);
  const parts = [recommendations(schema, askForKey), modelForm.node];
  const samples = schema.sampling ? sampler(schema, modelForm.read, askForKey) : null;
  if (samples) forms.push(samples);
  return element("article", { id: schema.task }, head, identity(schema), element("div", { class: "halves" }, element("div", {}, parts), card(schema)), samples?.node);
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

show();
