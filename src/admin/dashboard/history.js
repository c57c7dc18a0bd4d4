/** Reads the gateway's statistics again and again, and remembers the last minutes. */

import { get } from "./api.js";
import { quantile, since } from "./histogram.js";

/** How often it is asked, and how many answers are remembered: five minutes. */
export const EVERY_MS = 2000;
const KEPT = 150;

/**
 * What is drawn of one reading. A value is `null` where it is not known.
 * @typedef {{ at: number, connections: number | null, sessions: number | null, outbox: number | null, rate: number | null,
 *   failures: number | null, errors: number | null, p50: number | null, p99: number | null }} Point
 */

export class History {
  /** @type {Point[]} */
  points = [];
  /** The last answer. @type {any} */
  latest = null;
  /** Why there is no later one. @type {import("./api.js").Refused | null} */
  problem = null;
  #listeners = new Set();
  #timer = 0;

  /** @param {() => void} listener is called after each reading */
  listen(listener) {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  start() {
    this.stop();
    this.#read();
  }

  stop() {
    clearTimeout(this.#timer);
  }

  async #read() {
    const began = performance.now();
    try {
      this.#take(await get("/api/v1/statistics"));
      this.problem = null;
    } catch (problem) {
      this.problem = problem;
    }
    for (const listener of this.#listeners) listener();
    // Nobody is asked twice at once, and without a token nobody is asked again until there is one.
    if (this.problem?.status === 401) return;
    this.#timer = setTimeout(() => this.#read(), Math.max(250, EVERY_MS - (performance.now() - began)));
  }

  #take(statistics) {
    const before = this.latest;
    const now = Date.now();
    this.latest = statistics;
    const last = this.points.at(-1);
    this.points.push(point(now, statistics, before, last ? (now - last.at) / 1000 : 0));
    this.points.splice(0, this.points.length - KEPT);
  }
}

function point(at, statistics, before, seconds) {
  const isSameProcess = before && before.started_ms === statistics.started_ms;
  const calls = statistics.calls;
  const known = (value) => value ?? null;
  const made = {
    at,
    connections: known(statistics.connections),
    sessions: known(statistics.sessions),
    outbox: known(statistics.outbox_bytes),
    rate: null,
    failures: null,
    errors: null,
    p50: null,
    p99: null,
  };
  if (!calls || !isSameProcess || !before.calls || seconds <= 0) return made;
  const total = calls.total - before.calls.total;
  const failed = calls.failed - before.calls.failed;
  if (total < 0 || failed < 0) return made;
  const took = calls.latency && since(calls.latency, before.calls.latency);
  return {
    ...made,
    rate: total / seconds,
    failures: failed / seconds,
    errors: total > 0 ? failed / total : 0,
    p50: quantile(took, 0.5),
    p99: quantile(took, 0.99),
  };
}
