// The same request as a curl command, and a button that copies it.

import { hasKey } from "./api.js";
import { element, unique } from "./element.js";

export function command(path) {
  const code = element("code", {});
  const id = unique("command");
  const text = element("pre", { id, tabindex: 0, role: "region", "aria-label": "The same request with curl" }, code);
  const status = element("span", { role: "status", class: "hint" });
  const copy = element("button", { type: "button", click: () => copyText(code, status) }, "Copy");
  const head = element("p", { class: "row" }, element("span", {}, "The same request with curl"), copy, status);
  const show = (body) => {
    const header = hasKey() ? ' \\\n  -H "Authorization: Bearer KEY"' : "";
    code.textContent = `curl ${shellQuote(new URL(path, document.baseURI).href)}${header} \\\n  -d ${shellQuote(JSON.stringify(body))}`;
  };
  return { node: element("div", { class: "command" }, head, text), show };
}

// Quotes a text for a shell: within single quotes, only the single quote is special.
function shellQuote(text) {
  return /^[\w:/.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

async function copyText(code, status) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    status.textContent = "Copied.";
  } catch {
    getSelection().selectAllChildren(code); // the clipboard needs TLS or localhost
    status.textContent = "Selected: copy it with Ctrl+C.";
  }
}
