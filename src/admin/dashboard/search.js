/** A field in which something is looked for, and how much was found. */

import { el, fresh, put } from "./dom.js";

/**
 * @param {string} placeholder what may be typed
 * @param {(typed: string) => void} changed
 * @returns {{ element: HTMLElement, typed: () => string, tell: (found: string) => void }}
 */
export function search(placeholder, changed) {
  const id = fresh();
  const typed = () => input.value.trim();
  const input = el("input", { id, type: "search", autocomplete: "off", spellcheck: "false", placeholder, oninput: () => changed(typed()) });
  const found = el("p", { class: "muted", role: "status" });
  return {
    element: el("div", { class: "bar" }, el("div", { class: "field" }, el("label", { for: id }, "Search"), input), found),
    typed,
    tell: (text) => put(found, text),
  };
}
