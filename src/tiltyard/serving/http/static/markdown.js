// The part of Markdown that model cards use, as elements: headings, paragraphs, lists, tables, code and bold text.

import { element } from "./element.js";

const TABLE_LINE = /^\|(\s*:?-+:?\s*\|)+$/;

export function markdown(text) {
  const blocks = text.replace(/^---\n.*?\n---\n/s, "").split(/\n{2,}/);
  return blocks.map((block) => shownBlock(block.trim().split("\n"))).flat();
}

function shownBlock(lines) {
  if (!lines[0]) return [];
  const [, marks, title] = /^(#{1,6})\s+(.*)$/.exec(lines[0]) ?? [];
  if (marks) return [element(`h${Math.min(marks.length + 2, 6)}`, {}, inline(title)), ...shownBlock(lines.slice(1))];
  if (lines[0].startsWith("|") && TABLE_LINE.test(lines[1] ?? "")) return [table(lines)];
  if (lines.every((line) => /^[-*]\s/.test(line))) return [element("ul", {}, lines.map((line) => element("li", {}, inline(line.slice(2)))))];
  if (lines[0].startsWith("```")) return [element("pre", { tabindex: 0 }, lines.filter((line) => !line.startsWith("```")).join("\n"))];
  return [element("p", {}, inline(lines.join(" ")))];
}

function table([head, , ...rows]) {
  const cells = (line) => line.replace(/^\||\|$/g, "").split(/(?<!\\)\|/).map((one) => inline(one.trim()));
  const names = cells(head).map((one) => element("th", { scope: "col" }, one));
  const body = rows.map((line) => element("tr", {}, cells(line).map((one) => element("td", {}, one))));
  const shown = element("table", {}, element("thead", {}, element("tr", {}, names)), element("tbody", {}, body));
  return element("div", { class: "scroll", tabindex: 0, role: "group", "aria-label": "Table of the model card" }, shown);
}

// Code, bold text, and characters after a backslash; everything else is text.
function inline(text) {
  return text.split(/(`+[^`]*`+|\*\*[^*]+\*\*)/).map((part) => {
    if (part.startsWith("`")) return element("code", {}, part.replace(/^`+ ?| ?`+$/g, ""));
    if (part.startsWith("**") && part.length > 4) return element("strong", {}, unescaped(part.slice(2, -2)));
    return unescaped(part);
  });
}

function unescaped(text) {
  return text.replace(/\\([!-/:-@[-`{-~])/g, "$1").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
}
