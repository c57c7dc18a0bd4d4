/**
 * Time and chance, so that a test has its own.
 *
 * A time limit is never longer than a timer can be; one that is over is over at once.
 */

export interface Clock {
  /** Milliseconds that only grow. */
  now(): number;
  /** Calls `then` once, later. What it returns makes that undone. */
  after(ms: number, then: () => void): () => void;
  /** From 0 up to 1. */
  random(): number;
}

/** What every host of JavaScript has, whatever types it declares. */
interface Host {
  setTimeout(then: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  performance?: { now(): number };
}

const host = globalThis as unknown as Host;
const LONGEST_MS = 2 ** 31 - 1;

export const realClock: Clock = {
  now: () => host.performance?.now() ?? Date.now(),
  after(ms, then) {
    const timer = host.setTimeout(then, Math.min(Math.max(ms, 0), LONGEST_MS));
    return () => host.clearTimeout(timer);
  },
  random: () => Math.random(),
};
