/** What the gateway routes, and by which rules; one route in detail, with where each rule comes from. */

import { all as everything, get } from "../api.js";
import { el, put } from "../dom.js";
import { chips, facts } from "../facts.js";
import { count, latency, percent, rate } from "../format.js";
import { quantile, since } from "../histogram.js";
import { search } from "../search.js";
import { table } from "../table.js";

export const title = "Routes";

const EVERY_MS = 3000;

/** @param {import("../app.js").Context} context */
export function show(context) {
  if (context.argument) one(context);
  else list(context);
}

/** @param {import("../app.js").Context} context */
function list({ main, every }) {
  const routes = table({
    caption: "Routes",
    key: (route) => route.number,
    empty: "no route is like that",
    columns: [
      {
        name: "Number",
        head: true,
        number: true,
        once: true,
        cell: (route) => el("a", { href: `#/routes/${route.number}` }, route.number),
      },
      { name: "Name", cell: (route) => route.name },
      {
        name: "Method",
        wide: true,
        cell: (route) =>
          el(
            "span",
            { class: "mono small" },
            short(route.rpc),
            route.kind !== "unary" && el("span", { class: "chip" }, route.kind.replace("_", " ")),
          ),
      },
      {
        name: "Who may",
        cell: whoMay,
      },
      { name: "Limits", cell: (route) => chips(route.limits) },
      { name: "Calls", number: true, cell: (route) => count(route.calls) },
      { name: "Rate", number: true, cell: (route) => rate(route.recent?.rate) },
      { name: "Failing", number: true, cell: (route) => percent(route.calls > 0 ? route.failures / route.calls : null) },
      { name: "p50", number: true, cell: (route) => latency(quantile(route.latency, 0.5)) },
      { name: "p99", number: true, cell: (route) => latency(quantile(route.latency, 0.99)) },
    ],
  });
  const wanted = search("number, name, method, permission", draw);
  put(main, wanted.element, routes.element);
  let all = [];
  let before = { at: 0, calls: new Map() };

  function draw() {
    const typed = wanted.typed().toLowerCase();
    const like = (route) => [route.number, route.name, route.rpc, ...route.permissions].join(" ").toLowerCase().includes(typed);
    const found = all.filter(like);
    routes.update(found);
    wanted.tell(`${count(found.length)} of ${count(all.length)} routes`);
  }

  every(EVERY_MS, async () => {
    all = await everything("routes");
    const now = performance.now();
    const seconds = (now - before.at) / 1000;
    for (const route of all) {
      const earlier = before.calls.get(route.number);
      if (earlier !== undefined && route.calls >= earlier) route.recent = { rate: (route.calls - earlier) / seconds };
    }
    before = { at: now, calls: new Map(all.map((route) => [route.number, route.calls])) };
    draw();
  });
}

/** @param {import("../app.js").Context} context */
function one({ main, argument, every }) {
  const head = el("div");
  const policy = table({
    caption: "Policy",
    // The items of a list have one key.
    key: (entry) => `${entry.key} ${entry.value}`,
    columns: [
      { name: "Key", head: true, cell: (entry) => el("code", {}, entry.key) },
      { name: "Value", wide: true, cell: (entry) => el("code", {}, entry.value) },
      { name: "Said by", cell: (entry) => el("span", { class: entry.layer === "built-in" ? "muted" : "" }, entry.layer) },
      { name: "Where", cell: (entry) => (entry.file ? el("span", { class: "mono small" }, `${entry.file}:${entry.line}`) : "") },
    ],
  });
  put(
    main,
    el(
      "p",
      { class: "bar" },
      el("a", { href: "#/routes" }, "← All routes"),
      el("a", { class: "button", href: `#/playground/${encodeURIComponent(argument)}` }, "Try it in the playground"),
    ),
    head,
    el("h2", {}, "What holds for it, and who said so"),
    policy.element,
  );
  let before;
  every(EVERY_MS, async () => {
    const route = await get(`/api/v1/routes/${encodeURIComponent(argument)}`);
    const recent = before?.latency && route.latency ? since(route.latency, before.latency) : route.latency;
    before = route;
    const rows = [
      ["Method", el("code", {}, route.rpc)],
      ["Kind", route.kind.replace("_", " ")],
      ["Request", el("code", {}, route.request)],
      ["Reply", el("code", {}, route.response)],
      ["Who may", whoMay(route)],
      ["Limits", chips(route.limits)],
      ["Backends", chips(route.backends)],
      ["Calls", count(route.calls)],
      ["Failed", count(route.failures)],
      ["p50 now", latency(quantile(recent, 0.5))],
      ["p99 now", latency(quantile(recent, 0.99))],
      ["p99 in all", latency(quantile(route.latency, 0.99))],
    ];
    put(head, facts(`${route.number} ${route.name}`, rows, { broad: true }));
    policy.update(route.policy ?? []);
  });
}

/** What a caller needs. */
function whoMay(route) {
  if (route.permissions.length > 0) return chips(route.permissions);
  return route.access === "anonymous" ? "anybody" : "any user";
}

/** A method without its package, which the detail shows. */
const short = (rpc) => rpc.split(".").at(-1);
