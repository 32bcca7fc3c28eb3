// The same request as code in curl, Python and JavaScript, and a button that copies it.

import { hasKey } from "./api.js";
import { element, unique } from "./element.js";

const LANGUAGES = { curl: curlCode, Python: pythonCode, JavaScript: javaScriptCode };

export function requestCode(path) {
  const code = element("code", {});
  const text = element("pre", { tabindex: 0, role: "group", "aria-label": "The same request as code" }, code);
  const status = element("span", { role: "status", class: "hint" });
  const copy = element("button", { type: "button", click: () => copyText(code, status) }, "Copy");
  const choice = element("select", { id: unique("language") }, Object.keys(LANGUAGES).map((name) => element("option", {}, name)));
  const label = element("label", { for: choice.id }, "The same request in");
  let last = {};
  const show = (body) => {
    last = body;
    code.textContent = LANGUAGES[choice.value](new URL(path, document.baseURI).href, body, hasKey());
  };
  choice.addEventListener("change", () => show(last));
  return { node: element("div", { class: "command" }, element("p", { class: "row" }, label, choice, copy, status), text), show };
}

function curlCode(address, body, key) {
  const header = key ? ' \\\n  -H "Authorization: Bearer KEY"' : "";
  return `curl ${shellQuote(address)}${header} \\\n  -d ${shellQuote(JSON.stringify(body))}`;
}

// Quotes a text for a shell: within single quotes, only the single quote is special.
function shellQuote(text) {
  return /^[\w:/.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function pythonCode(address, body, key) {
  const headers = key ? `, headers={"Authorization": "Bearer KEY"}` : "";
  return `import httpx\n\nbody = ${pythonValue(body)}\nresponse = httpx.post(${pythonValue(address)}, json=body${headers})\nprint(response.raise_for_status().json()["predictions"])`;
}

// JSON as Python writes it; escapes of texts are the same in both.
function pythonValue(value) {
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (Array.isArray(value)) return `[${value.map(pythonValue).join(", ")}]`;
  if (typeof value === "object") return `{${Object.entries(value).map(([name, one]) => `${JSON.stringify(name)}: ${pythonValue(one)}`).join(", ")}}`;
  return JSON.stringify(value);
}

function javaScriptCode(address, body, key) {
  const headers = key ? `,\n  headers: { Authorization: "Bearer KEY" }` : "";
  return `const body = ${JSON.stringify(body)};\nconst response = await fetch(${JSON.stringify(address)}, {\n  method: "POST",\n  body: JSON.stringify(body)${headers},\n});\nconsole.log((await response.json()).predictions);`;
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
