/**
 * A new token before the old one ends. The gateway says when: a minute before, or half-way for a short one.
 *
 * One at a time, and a few times if it fails. If none comes the connection ends with 4002, and the next one begins with a new token.
 */

import type { Backoff } from "./backoff.js";
import type { Clock } from "./clock.js";

const TRIES_MAX = 4;

export class Refresh {
  #running: Promise<void> | undefined;
  #hurry: (() => void) | undefined;
  readonly #clock: Clock;
  readonly #backoff: Backoff;
  readonly #renew: () => Promise<void>;

  constructor(clock: Clock, backoff: Backoff, renew: () => Promise<void>) {
    this.#clock = clock;
    this.#backoff = backoff;
    this.#renew = renew;
  }

  /** Until it is renewed; rejects when it was tried often enough. */
  run(isOver: () => boolean): Promise<void> {
    this.#running ??= this.#try(isOver).finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** Ends a pause. */
  hurry(): void {
    this.#hurry?.();
  }

  async #try(isOver: () => boolean): Promise<void> {
    this.#backoff.reset();
    for (;;) {
      try {
        return await this.#renew();
      } catch (error) {
        if (this.#backoff.tries >= TRIES_MAX - 1 || isOver()) throw error;
        await new Promise<void>((resolve) => {
          const undo = this.#clock.after(this.#backoff.next(), resolve);
          this.#hurry = () => {
            undo();
            resolve();
          };
        });
        if (isOver()) throw error;
      }
    }
  }
}
