// A cluster: its number, how far the row is from its mean row, the memberships, and the mean row of each cluster.

import { element, formatNumber } from "./element.js";
import { columns, picture } from "./reconstruction.js";

const MAX_CLUSTERS = 30; // shown

export function clustering(schema, { cluster, distance, memberships }) {
  const heading = element("p", {}, element("strong", { class: "large" }, `Cluster ${cluster}`), ` distance ${formatNumber(distance, 3)} from its mean row`);
  const order = memberships.map((share, number) => [number, share]).sort(([, first], [, second]) => second - first).slice(0, MAX_CLUSTERS);
  const bars = order.map(([number, share]) => bar(schema.clusters[number], number, share, number === cluster));
  return [heading, element("ul", { class: "bars" }, bars), details(schema, order.map(([number]) => number))];
}

function bar({ rows }, number, share, chosen) {
  const filled = element("span", { class: "filled" });
  filled.style.width = `${share * 100}%`;
  const line = element("span", { class: "line", "aria-hidden": "true" }, filled);
  const name = element("span", { title: `${rows} training rows` }, `cluster ${number}`);
  return element("li", { class: chosen ? "likeliest" : undefined }, name, line, element("span", {}, `${formatNumber(share * 100, 3)} %`));
}

function details(schema, numbers) {
  const shown = numbers.map((number) => {
    const { rows, mean } = schema.clusters[number];
    const row = Array.isArray(mean) ? element("div", { class: "image" }, picture(mean)) : columns(mean);
    return element("figure", {}, row, element("figcaption", {}, `cluster ${number}: ${rows} training rows`));
  });
  return element("details", { open: true }, element("summary", {}, "Mean rows of the clusters"), element("div", { class: "clusters" }, shown));
}
