/** How the gateway does, now and over the last minutes. */

import { chart } from "../chart.js";
import { el, put } from "../dom.js";
import { facts } from "../facts.js";
import { bytes, count, duration, latency, percent, rate, text } from "../format.js";

export const title = "Overview";

/** @param {import("../app.js").Context} context */
export function show({ main, history, onEnd }) {
  const tiles = [
    tile(
      "Connections",
      (now) => count(now.connections),
      (now) => (now.connections_max ? `of ${count(now.connections_max)}` : ""),
    ),
    tile(
      "Sessions",
      (now) => count(now.sessions),
      (now) => (now.anonymous === undefined ? "" : `${count(now.anonymous)} anonymous`),
    ),
    tile(
      "Calls",
      (_, last) => rate(last.rate),
      (now) => (now.calls ? `${count(now.calls.total)} in all` : ""),
    ),
    tile(
      "Failing",
      (_, last) => percent(last.errors),
      (now) => (now.calls ? `${count(now.calls.failed)} in all` : ""),
    ),
    tile(
      "Half within",
      (_, last) => latency(last.p50),
      () => "latency, p50",
    ),
    tile(
      "99 % within",
      (_, last) => latency(last.p99),
      () => "latency, p99",
    ),
    tile(
      "Outboxes",
      (now) => bytes(now.outbox_bytes),
      () => "to be written",
    ),
  ];
  const charts = [
    chart({
      title: "Calls",
      format: rate,
      lines: [
        { name: "all", of: (point) => point.rate },
        { name: "failed", of: (point) => point.failures },
      ],
    }),
    chart({
      title: "Latency",
      format: latency,
      least: 0.001,
      lines: [
        { name: "p99", of: (point) => point.p99 },
        { name: "p50", of: (point) => point.p50 },
      ],
    }),
    chart({
      title: "Connections",
      format: count,
      least: 4,
      lines: [
        { name: "connections", of: (point) => point.connections },
        { name: "sessions", of: (point) => point.sessions },
      ],
    }),
    chart({ title: "Outboxes", format: bytes, least: 1024, base: 1024, lines: [{ name: "waiting", of: (point) => point.outbox }] }),
  ];
  const lists = el("div", { class: "lists" });
  put(
    main,
    el(
      "dl",
      { class: "tiles" },
      tiles.map((one) => one.element),
    ),
    el(
      "div",
      { class: "charts" },
      charts.map((one) => one.element),
    ),
    lists,
  );

  const draw = () => {
    const now = history.latest;
    if (!now) return;
    const last = history.points.at(-1);
    for (const one of tiles) one.draw(now, last);
    for (const one of charts) one.draw(history.points);
    put(
      lists,
      facts("This gateway", identity(now)),
      facts("Pushes", counted(now.pushes)),
      facts("Connections closed, by code", counted(now.closes), { empty: "none yet" }),
      facts("Connections refused, by cause", counted(now.refused), { empty: "none yet" }),
      facts("Tokens refused", counted(now.tokens_refused), { empty: "none yet" }),
    );
  };
  onEnd(history.listen(draw));
  draw();
}

function tile(name, value, note) {
  const [big, small] = [el("dd", { class: "big" }), el("dd", { class: "muted" })];
  return {
    element: el("div", { class: "tile card" }, el("dt", {}, name), big, small),
    draw(now, last) {
      put(big, value(now, last));
      put(small, note(now));
    },
  };
}

function identity(now) {
  return [
    ["node", text(now.node)],
    ["version", text(now.version)],
    ["up for", duration(now.uptime_seconds)],
    ["generation", text(now.generation)],
    ["configuration", now.hash ? el("code", { title: now.hash }, now.hash.slice(0, 12)) : text()],
    ["connections accepted", count(now.accepted)],
  ];
}

/** What was counted at all; a long list of zeros says nothing. */
function counted(counts) {
  return Object.entries(counts ?? {})
    .filter(([, value]) => value > 0)
    .map(([name, value]) => [name.replaceAll("_", " "), count(value)]);
}
