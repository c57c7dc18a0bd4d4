/** Who is connected; one connection in detail, which can be closed. */

import { get, post } from "../api.js";
import { el, put } from "../dom.js";
import { chips, facts } from "../facts.js";
import { ago, bytes, count, duration, moment, text } from "../format.js";
import { search } from "../search.js";
import { table } from "../table.js";

export const title = "Connections";

const EVERY_MS = 2000;
const PAGE = 100;

/** @param {import("../app.js").Context} context */
export function show(context) {
  if (context.argument) one(context);
  else list(context);
}

/** @param {import("../app.js").Context} context */
function list({ main, every }) {
  const wanted = search("user, session or address", () => go(""));
  const found = table({
    caption: "Connections",
    key: (connection) => connection.id,
    empty: "nobody is connected",
    columns: [
      {
        name: "Connection",
        head: true,
        number: true,
        once: true,
        cell: (connection) => el("a", { href: `#/connections/${encodeURIComponent(connection.id)}` }, connection.id),
      },
      { name: "User", wide: true, cell: (connection) => (connection.user ? connection.user : el("span", { class: "muted" }, "anonymous")) },
      { name: "Session", cell: (connection) => el("span", { class: "mono small", title: connection.session }, short(connection.session)) },
      { name: "Address", cell: (connection) => el("span", { class: "mono small one-line" }, text(connection.peer)) },
      { name: "Form", cell: (connection) => text(connection.codec) },
      { name: "Connected", number: true, cell: (connection) => ago(connection.connected_ms) },
      { name: "In flight", number: true, cell: (connection) => count(connection.in_flight) },
      { name: "Streams", number: true, cell: (connection) => count(connection.streams) },
      { name: "Topics", number: true, cell: (connection) => count(connection.topics) },
      { name: "Outbox", number: true, cell: (connection) => bytes(connection.outbox_bytes) },
    ],
  });
  const first = el("button", { type: "button", hidden: true, onclick: () => go("") }, "First page");
  const next = el("button", { type: "button", hidden: true, onclick: () => go(following) }, "Next page");
  put(main, wanted.element, found.element, el("div", { class: "bar" }, first, next));
  let [after, following] = ["", ""];
  const read = async () => {
    const asked = { search: wanted.typed(), after };
    const page = await get("/api/v1/connections", { ...asked, limit: PAGE });
    // Somebody has typed on meanwhile.
    if (asked.search !== wanted.typed() || asked.after !== after) return;
    found.update(page.connections);
    following = page.next ?? "";
    first.hidden = after === "";
    next.hidden = following === "";
    wanted.tell(`${count(page.connections.length)} shown${following ? ", and there are more" : ""}`);
  };
  // What does not succeed here is said by the next reading.
  const go = (place) => {
    after = place;
    read().catch(() => {});
  };
  every(EVERY_MS, read);
}

/** The beginning of an id, which is enough to tell two apart. */
const short = (id) => (id && id.length > 12 ? `${id.slice(0, 10)}…` : text(id));

/** @param {import("../app.js").Context} context */
function one({ main, argument, every }) {
  const path = `/api/v1/connections/${encodeURIComponent(argument)}`;
  const detail = el("div");
  const said = el("p", { class: "muted", role: "status" });
  const close = el("button", { type: "button", class: "danger", onclick: shut }, "Close the connection");
  let isSure = false;
  let isGone = false;
  put(main, el("p", { class: "bar" }, el("a", { href: "#/connections" }, "← All connections"), close, said), detail);

  async function shut() {
    if (!isSure) {
      isSure = true;
      put(close, "Close it, really");
      put(said, "The client is told to connect again.");
      return;
    }
    close.disabled = true;
    try {
      await post(`${path}/close`);
      put(said, "It is being closed.");
    } catch (problem) {
      put(said, problem.message);
      close.disabled = false;
    }
  }

  every(EVERY_MS, async () => {
    if (isGone) return;
    let connection;
    try {
      connection = await get(path);
    } catch (problem) {
      if (!problem.isAbsent) throw problem;
      isGone = true;
      close.disabled = true;
      put(said, `There is no connection ${argument} any more.`);
      return;
    }
    const calls = (open) => chips(open?.map((call) => `${call.protocol} (id ${call.id})`));
    const who = [
      ["User", connection.user || "anonymous"],
      ["Session", el("code", {}, text(connection.session))],
      ["Session's generation", connection.generation],
      ["Roles", chips(connection.roles)],
      ["Identity ends", known(connection.expires_ms, moment)],
    ];
    const where = [
      ["Address", el("code", {}, text(connection.peer))],
      ["Form", text(connection.codec)],
      ["Connected", `${moment(connection.connected_ms)} (${ago(connection.connected_ms)})`],
      ["Silent for", known(connection.idle_ms, (ms) => duration(ms / 1000))],
      ["Round trip", known(connection.rtt_ms, (ms) => `${count(ms)} ms`)],
      ["Worker", connection.worker],
    ];
    const what = [
      ["Messages in", known(connection.messages_in, count)],
      ["Messages out", known(connection.messages_out, count)],
      ["Bytes in", known(connection.bytes_in, bytes)],
      ["Bytes out", known(connection.bytes_out, bytes)],
      ["Outbox", known(connection.outbox_bytes, bytes)],
      ["Calls in flight", calls(connection.calls)],
      ["Streams", calls(connection.open_streams) ?? count(connection.streams)],
      ["Topics", chips(connection.heard)],
    ];
    put(detail, el("div", { class: "lists" }, facts("Who", who), facts("Where", where), facts("What", what)));
  });
}

/** A value as it is written; nothing if it is not told. */
const known = (value, write) => (value === undefined || value === null ? undefined : write(value));
