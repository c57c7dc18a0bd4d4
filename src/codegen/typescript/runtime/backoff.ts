/**
 * Pauses before another connection: each is drawn from nothing up to a bound that doubles, so that clients that were cut off together do
 * not come back together.
 */

import type { Clock } from "./clock.js";

export interface Pauses {
  /** The bound of the first pause. */
  readonly firstMs: number;
  /** The bound of the longest. */
  readonly capMs: number;
}

/** The longest that a gateway may ask us to wait. */
const ASKED_CAP_MS = 60_000;

export class Backoff {
  /** Since a connection was good. */
  tries = 0;
  readonly #clock: Clock;
  readonly #pauses: Pauses;

  constructor(clock: Clock, pauses: Pauses) {
    this.#clock = clock;
    this.#pauses = pauses;
  }

  /** The next pause. `askedMs` is what the gateway asked for, which comes first. */
  next(askedMs = 0): number {
    // Beyond this the bound is the cap, and the power no number any more.
    const doubled = this.#pauses.firstMs * 2 ** Math.min(this.tries, 30);
    this.tries += 1;
    return Math.min(askedMs, ASKED_CAP_MS) + this.#clock.random() * Math.min(doubled, this.#pauses.capMs);
  }

  /** A try without a pause. */
  skip(): void {
    this.tries += 1;
  }

  reset(): void {
    this.tries = 0;
  }
}
