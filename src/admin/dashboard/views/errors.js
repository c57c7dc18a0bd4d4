/** Calls that failed: why, how often, and the last examples of each. */

import { get } from "../api.js";
import { el, put } from "../dom.js";
import { ago, count, moment, text } from "../format.js";
import { search } from "../search.js";

export const title = "Errors";

const EVERY_MS = 3000;

/** @param {import("../app.js").Context} context */
export function show({ main, every }) {
  const wanted = search("reason, source, route, user or text", draw);
  const list = el("ul", { class: "errors" });
  put(main, wanted.element, list);
  /** @type {Map<string, { element: HTMLElement, update: (error: any) => void }>} */
  const known = new Map();
  let all = [];

  function draw() {
    const typed = wanted.typed().toLowerCase();
    const found = all.filter((error) => JSON.stringify(error).toLowerCase().includes(typed));
    const order = found.map((error) => {
      const key = `${error.source} ${error.code} ${error.reason}`;
      if (!known.has(key)) known.set(key, entry(error));
      known.get(key).update(error);
      return known.get(key).element;
    });
    const isSame = order.length > 0 && order.length === list.children.length && order.every((element, i) => list.children[i] === element);
    const nothing = all.length === 0 ? "No call has failed." : "No failure is like that.";
    if (!isSame) put(list, ...order, order.length === 0 && el("li", { class: "card empty" }, nothing));
  }

  every(EVERY_MS, async () => {
    const book = await get("/api/v1/errors");
    all = book.errors.toSorted((a, b) => b.count - a.count);
    wanted.tell(book.since_ms ? `counted since ${moment(book.since_ms)}` : "");
    draw();
  });
}

function entry(error) {
  const [many, last, examples] = [el("b", { class: "count" }), el("span", { class: "muted" }), el("ol", { class: "examples" })];
  let shown = "";
  return {
    element: el(
      "li",
      { class: "card" },
      el(
        "details",
        {},
        el(
          "summary",
          {},
          many,
          el("b", { class: "reason" }, text(error.reason)),
          el("span", { class: "chip" }, text(error.code)),
          el("span", { class: "chip" }, text(error.source)),
          last,
        ),
        examples,
      ),
    ),
    update(now) {
      put(many, count(now.count));
      put(last, `last ${ago(now.last_ms)}`);
      const kept = JSON.stringify(now.examples ?? []);
      if (kept === shown) return;
      shown = kept;
      put(examples, ...(now.examples ?? []).map(example), !now.examples?.length && el("li", { class: "muted" }, "no example is kept"));
    },
  };
}

function example(one) {
  const facts = [
    ["route", one.route],
    ["user", one.user],
    ["connection", one.connection],
    ["endpoint", one.endpoint],
  ].filter(([, value]) => value !== undefined && value !== null && value !== "");
  return el(
    "li",
    {},
    el(
      "p",
      {},
      el("time", {}, moment(one.at_ms)),
      facts.map(([name, value]) => el("span", {}, el("span", { class: "muted" }, `${name} `), String(value))),
    ),
    one.message && el("p", { class: "mono" }, one.message),
    one.cause && el("p", { class: "mono muted" }, `because: ${one.cause}`),
  );
}
