// Recommendations: items for a user, items like an item, users like a user, chosen by a search.

import { request } from "./api.js";
import { requestCode } from "./request_code.js";
import { element, formatNumber, unique } from "./element.js";
import { fieldFrame } from "./frame.js";

const [SHOWN, OFFERED, PAUSE] = [10, 20, 200]; // rows of an answer, names that are offered, milliseconds of typing
const BASES = {
  user: "By what this user has rated so far; rated ones are left out.",
  ratings: "By the given ratings.",
  popularity: "This user is not known: these are the most popular ones, the same for everybody.",
};

export function recommendations(schema, onError) {
  if (!schema.recommendation) return "";
  const { user, item } = schema.recommendation;
  const path = `v1/models/${encodeURIComponent(schema.task)}`;
  const ways = [
    { text: `${item}s for a ${user}`, verb: "recommend", key: "user" },
    { text: `${item}s like a ${item}`, verb: "similar", key: "item" },
    { text: `${user}s like a ${user}`, verb: "similar", key: "user" },
  ];
  const choice = element("select", { id: unique("way") }, ways.map(({ text }, index) => element("option", { value: index }, text)));
  const names = element("datalist", { id: unique("found") });
  const text = element("input", { id: unique("name"), type: "search", list: names.id, autocomplete: "off" });
  const label = fieldFrame("Name or identifier", text, "Type a part of it, and choose.", names);
  const output = element("div", { class: "answer", role: "status", "aria-live": "polite" });
  const curl = { recommend: requestCode(`${path}:recommend`), similar: requestCode(`${path}:similar`) };
  const way = () => ways[choice.selectedIndex];
  const redraw = () => {
    for (const [verb, { node }] of Object.entries(curl)) node.hidden = verb !== way().verb;
    curl[way().verb].show({ [way().key]: text.value, k: SHOWN });
  };
  const offer = offerNames(path, names, text, () => way().key);
  const ask = (event) => {
    event.preventDefault();
    answer({ path, way: way(), text, label, output, curl, onError });
  };
  const fields = element("div", { class: "fields" }, element("div", { class: "field" }, element("label", { for: choice.id }, "Show"), choice), label.frame);
  const heading = element("h3", { id: unique("recommend") }, "Get recommendations");
  const button = element("p", { class: "row" }, element("button", { class: "first" }, "Show"));
  const node = element("form", { novalidate: true, "aria-labelledby": heading.id, submit: ask, input: redraw }, heading, fields, button);
  choice.addEventListener("change", offer);
  text.addEventListener("input", offer);
  redraw();
  return element("div", { class: "ask recommend" }, node, output, curl.recommend.node, curl.similar.node);
}

// Offers the names that hold what is typed, once typing pauses.
function offerNames(path, names, text, key) {
  let timer = 0;
  const offer = async () => {
    const body = JSON.stringify({ text: text.value.slice(0, OFFERED * 10), of: key(), k: OFFERED });
    const { found } = await request(`${path}:find`, body).catch(() => ({ found: [] }));
    names.replaceChildren(...found.map((one) => element("option", { value: one.item ?? one.user, label: one.title ?? one.user })));
  };
  return () => {
    clearTimeout(timer);
    timer = setTimeout(offer, PAUSE);
  };
}

async function answer({ path, way, text, label, output, curl, onError }) {
  label.refuse("");
  output.ariaBusy = "true";
  try {
    const name = await chosen(path, way, text.value.trim());
    const body = { [way.key]: name.id, k: SHOWN };
    curl[way.verb].show(body); // with the identifier of a title
    const response = await request(`${path}:${way.verb}`, JSON.stringify(body));
    const rows = response.recommendations ?? response.similar;
    const note = response.basis ? BASES[response.basis] : `Most similar to ${name.title}, by the cosine of their vectors.`;
    output.replaceChildren(element("p", {}, note), table(rows));
  } catch (error) {
    output.replaceChildren();
    label.refuse(error.message || "The response could not be read.");
    onError(error);
  } finally {
    output.ariaBusy = "false";
  }
}

// What is typed is an identifier or a title; a title stands for the first item that is found by it.
async function chosen(path, { key }, typed) {
  const { found } = await request(`${path}:find`, JSON.stringify({ text: typed, of: key, k: OFFERED }));
  const same = found.find((one) => (one.item ?? one.user) === typed) ?? (key === "item" ? found[0] : undefined);
  return same ? { id: same.item ?? same.user, title: same.title ?? same.user } : { id: typed, title: typed };
}

function table(rows) {
  if (!rows.length) return element("p", {}, "Nothing is left to show.");
  const columns = Object.keys(rows[0]).filter((name) => name !== "item" || rows[0].title === undefined);
  const head = columns.map((name) => element("th", { scope: "col" }, name));
  const cell = (value) => (typeof value === "number" ? formatNumber(value, 3) : value);
  const body = rows.map((row) => {
    const [first, ...others] = columns;
    const title = row.item === undefined || row.item === row[first] ? row[first] : [row[first], " ", element("code", {}, row.item)];
    return element("tr", {}, element("th", { scope: "row" }, title), others.map((name) => element("td", {}, cell(row[name]))));
  });
  return element("table", {}, element("thead", {}, element("tr", {}, head)), element("tbody", {}, body));
}
