/** The services behind the gateway: whether they are there, and whether they are left alone. */

import { all } from "../api.js";
import { el, put } from "../dom.js";
import { count, percent, text } from "../format.js";
import { table } from "../table.js";

export const title = "Backends";

const EVERY_MS = 2000;

/** What states mean. */
const STATES = {
  well: { class: "good", text: "well" },
  ill: { class: "bad", text: "ill: its health check says so" },
  open: { class: "bad", text: "left alone: its breaker is open" },
  down: { class: "bad", text: "down: it cannot be connected to" },
};

/** @param {import("../app.js").Context} context */
export function show({ main, every }) {
  /** @type {Map<string, { element: HTMLElement, update: (backend: any) => void }>} */
  const known = new Map();
  const list = el("div", { class: "backends" });
  put(main, list);
  every(EVERY_MS, async () => {
    const backends = await all("backends");
    for (const backend of backends) {
      if (!known.has(backend.name)) known.set(backend.name, card(backend.name));
      known.get(backend.name).update(backend);
    }
    const order = backends.map((backend) => known.get(backend.name).element);
    const isSame = order.length === list.children.length && order.every((element, i) => list.children[i] === element);
    if (!isSame) put(list, ...order, order.length === 0 && el("p", { class: "muted" }, "no backend is configured"));
  });
}

function card(name) {
  const facts = el("p", { class: "muted" });
  const endpoints = table({
    caption: `Endpoints of ${name}`,
    key: (endpoint) => endpoint.address,
    empty: "none",
    columns: [
      { name: "Endpoint", head: true, wide: true, cell: (endpoint) => el("span", { class: "mono" }, endpoint.address) },
      { name: "State", cell: (endpoint) => state(endpoint.state) },
      { name: "In flight", number: true, cell: (endpoint) => count(endpoint.in_flight) },
      { name: "Calls", number: true, cell: (endpoint) => count(endpoint.calls) },
      { name: "Failures", number: true, cell: (endpoint) => count(endpoint.failures) },
      { name: "Failing", number: true, cell: (endpoint) => percent(endpoint.calls > 0 ? endpoint.failures / endpoint.calls : null) },
      { name: "Ejected", number: true, cell: (endpoint) => `${count(endpoint.ejections)} ×` },
      { name: "Weight", number: true, cell: (endpoint) => count(endpoint.weight) },
      { name: "Zone", cell: (endpoint) => text(endpoint.zone) },
      { name: "Version", cell: (endpoint) => text(endpoint.version) },
    ],
  });
  const none = el("p", { class: "card none muted" }, "No endpoint: the service is in this process, or none was found.");
  const element = el("section", { class: "backend" }, el("div", { class: "bar" }, el("h2", {}, name), facts), endpoints.element, none);
  return {
    element,
    update(backend) {
      put(
        facts,
        [
          ["in flight", backend.in_flight],
          ["waiting", backend.pending],
          ["retried", backend.retries],
          ["turned away", backend.sheds],
        ]
          .map(([what, value]) => `${count(value)} ${what}`)
          .join(" · "),
      );
      const found = backend.endpoints ?? [];
      endpoints.update(found);
      endpoints.element.hidden = found.length === 0;
      none.hidden = found.length > 0;
    },
  };
}

function state(name) {
  const known = STATES[name] ?? { class: "warn", text: text(name) };
  return el("span", { class: `state ${known.class}` }, known.text);
}
