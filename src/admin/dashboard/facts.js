/** A card of names and values. */

import { el } from "./dom.js";

/**
 * @param {import("./dom.js").Child | import("./dom.js").Child[]} title
 * @param {any[][]} rows a name and what `el` takes as children; what is `undefined` or `null` is not told, and left out
 * @param {{ empty?: string, broad?: boolean }} [options] what stands there if nothing is told; whether there is room for two columns
 * @returns {HTMLElement}
 */
export function facts(title, rows, { empty = "nothing yet", broad = false } = {}) {
  const told = rows.filter(([, value]) => value !== undefined && value !== null);
  const list = told.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value)));
  const body = list.length === 0 ? el("p", { class: "muted" }, empty) : el("dl", {}, list);
  return el("section", { class: broad ? "card facts broad" : "card facts" }, el("h2", {}, title), body);
}

/** Names in a row; nothing if they are not told. @param {string[]} [names] @param {string} [none] what stands there if there are none */
export function chips(names, none = "–") {
  if (!names) return undefined;
  return names.length === 0 ? none : names.map((name) => el("span", { class: "chip" }, name));
}
