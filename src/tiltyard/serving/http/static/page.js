// The page: asks which models there are, and gives each its card and its form.

import { ask, carry, keyed } from "./ask.js";
import { card, identity } from "./card.js";
import { element } from "./element.js";
import { form } from "./form.js";

const [models, state, names, key] = ["models", "state", "names", "key"].map((id) => document.getElementById(id));
const forms = [];

async function show() {
  try {
    const { models: all } = await ask("v1/models");
    const schemas = await Promise.all(all.map((name) => ask(`v1/models/${encodeURIComponent(name)}/schema`)));
    forms.length = 0;
    models.replaceChildren(state, ...schemas.map(article));
    names.replaceChildren(element("ul", {}, schemas.map(link)));
    names.hidden = all.length < 2;
    state.textContent = all.length ? "" : "No model is served yet.";
    document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
  } catch (refusal) {
    state.textContent = refusal.status === 401 ? "Nothing is shown before it has one." : refusal.message;
    wanted(refusal);
  }
}

function link({ task, title }) {
  return element("li", {}, element("a", { href: `#${encodeURIComponent(task)}` }, title));
}

function article(schema) {
  const made = form(schema, wanted);
  forms.push(made);
  const head = element("h2", {}, schema.title);
  return element("article", { id: schema.task }, head, identity(schema), element("div", { class: "halves" }, made.node, card(schema)));
}

// A service that wants a key says so with 401, at once or as soon as keys change.
function wanted(refusal) {
  if (refusal.status !== 401) return;
  key.hidden = false;
  document.getElementById("wrong").textContent = keyed() ? "That key is not one that it knows." : "";
  document.getElementById("secret").focus();
}

key.addEventListener("submit", (event) => {
  event.preventDefault();
  const secret = document.getElementById("secret");
  carry(secret.value.trim());
  secret.value = "";
  key.hidden = true;
  if (forms.length) for (const one of forms) one.redraw();
  else show();
});

show();
