/**
 * Who hears of what.
 *
 * Listeners are called in the order in which they came. One that throws is told of as `error`, and the others are called all the same.
 */

import type { Session } from "./standing.js";

export type State =
  /** Nothing was asked for yet, or what was asked for is long done: the next call connects. */
  | "idle"
  | "connecting"
  | "ready"
  /** It pauses before it connects again. */
  | "waiting"
  /** It does not come back by itself. */
  | "closed";

/** Something was missed: read that state again. */
export type Gap = { readonly of: "session" } | { readonly of: "topic"; readonly topic: string };

export interface Events {
  state: State;
  /** Who the client is from now on; nobody. */
  session: Session | undefined;
  gap: Gap;
  /** The identity ends soon, and there is no `token` to renew it with. In milliseconds since 1970. */
  expiring: { readonly expiresMs: number };
  /** A topic is not heard any more, and nobody here asked for that. `LOST`: it did not come back with the session. */
  unsubscribed: { readonly topic: string; readonly reason: string };
  /** What has no other way to be told: a listener that threw, a `token()` that failed, a silent route's failure. */
  error: unknown;
}

export class Listeners<M extends object> {
  readonly #listeners = new Map<keyof M, Set<(value: never) => void>>();
  readonly #failed: (error: unknown) => void;

  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /** What it returns ends that. */
  add<K extends keyof M>(name: K, listener: (value: M[K]) => void): () => void {
    // Wrapped, so that one function that is added twice is two listeners.
    const one = (value: M[K]): unknown => listener(value);
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all.add(one));
    return () => {
      all.delete(one);
      if (all.size === 0 && this.#listeners.get(name) === all) this.#listeners.delete(name);
    };
  }

  has(name: keyof M): boolean {
    return this.#listeners.has(name);
  }

  tell<K extends keyof M>(name: K, value: M[K]): void {
    for (const listener of [...(this.#listeners.get(name) ?? [])]) {
      try {
        const returned = (listener as (value: M[K]) => unknown)(value);
        // One that is asynchronous fails later, and nobody waits for it.
        if (returned instanceof Promise) returned.catch(this.#failed);
      } catch (error) {
        this.#failed(error);
      }
    }
  }
}
