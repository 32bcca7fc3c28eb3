// Tabs: of the parts of a page one is shown. The address names it, or a section in it; printing shows all.
"use strict";

const tablist = document.querySelector(".tabs");
const tabs = [...(tablist?.children ?? [])];
const panelOf = (tab) => document.getElementById(tab.hash.slice(1));

function selectTab(selected, focus = false) {
  for (const tab of tabs) {
    tab.setAttribute("aria-selected", String(tab === selected));
    tab.tabIndex = tab === selected ? 0 : -1;
    // Texts in the other panels are still found by the search of the browser.
    if (tab === selected) panelOf(tab).removeAttribute("hidden");
    else panelOf(tab).setAttribute("hidden", "until-found");
  }
  if (!focus) return;
  selected.focus();
  history.replaceState(null, "", selected.hash);
}

// Show the tab of the part that the address names.
function selectNamedTab() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const tab = tabs.find((one) => named && panelOf(one).contains(named)) ?? tabs[0];
  selectTab(tab);
  if (named && named !== panelOf(tab) && panelOf(tab).contains(named)) named.scrollIntoView();
}

function pressTabKey(event) {
  const at = tabs.indexOf(document.activeElement);
  const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1 }[event.key];
  if (next === undefined) return;
  event.preventDefault();
  selectTab(tabs[(next + tabs.length) % tabs.length], true);
}

if (tabs.length) {
  tablist.setAttribute("role", "tablist");
  tablist.setAttribute("aria-label", "Tabs");
  for (const tab of tabs) {
    const panel = panelOf(tab);
    for (const [name, value] of [["role", "tab"], ["id", `of-${panel.id}`], ["aria-controls", panel.id]]) tab.setAttribute(name, value);
    for (const [name, value] of [["role", "tabpanel"], ["aria-labelledby", tab.id]]) panel.setAttribute(name, value);
    tab.addEventListener("click", (event) => { event.preventDefault(); selectTab(tab, true); });
    panel.addEventListener("beforematch", () => selectTab(tab));
  }
  tablist.addEventListener("keydown", pressTabKey);
  addEventListener("hashchange", selectNamedTab);
  addEventListener("beforeprint", () => {
    for (const tab of tabs) panelOf(tab).removeAttribute("hidden");
    drawings.forEach((draw) => draw());
  });
  addEventListener("afterprint", () => selectTab(tabs.find((tab) => tab.ariaSelected === "true") ?? tabs[0]));
  selectNamedTab();
}
