// The command line that asks for the same, and a button that copies it.

import { keyed } from "./ask.js";
import { element, unique } from "./element.js";

export function command(path) {
  const code = element("code", {});
  const id = unique("command");
  const text = element("pre", { id, tabindex: 0, role: "region", "aria-label": "The same by command line" }, code);
  const said = element("span", { role: "status", class: "hint" });
  const copy = element("button", { type: "button", click: () => copied(code, said) }, "Copy");
  const head = element("p", { class: "row" }, element("span", {}, "The same by command line"), copy, said);
  const show = (body) => {
    const header = keyed() ? ' \\\n  -H "Authorization: Bearer KEY"' : "";
    code.textContent = `curl ${quoted(new URL(path, document.baseURI).href)}${header} \\\n  -d ${quoted(JSON.stringify(body))}`;
  };
  return { node: element("div", { class: "command" }, head, text), show };
}

// As a shell reads it: between single quotes everything stands for itself, but for the quote.
function quoted(text) {
  return /^[\w:/.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

async function copied(code, said) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    said.textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(code); // a page that came without TLS from elsewhere may not write there
    said.textContent = "Selected: copy it with Ctrl+C.";
  }
}
