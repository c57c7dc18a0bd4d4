/**
 * What waits for a connection: calls and streams, in their order, and not more than a bound.
 */

import type { Connection } from "./connection.js";
import { Code, local, type ProtogateError } from "./failure.js";

export interface Waiting {
  /** Whether it counts among the calls in flight, of which the gateway allows so many. */
  readonly isCall: boolean;
  readonly isSettled: boolean;
  readonly route: { readonly name: string };
  start(connection: Connection): void;
  reject(error: ProtogateError): void;
}

export class Queue {
  readonly #max: number;
  #waiting: Waiting[] = [];

  constructor(max: number) {
    this.#max = max;
  }

  push(one: Waiting): void {
    this.#waiting = this.#waiting.filter((waiting) => !waiting.isSettled);
    if (this.#waiting.length >= this.#max) {
      one.reject(local(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", `${this.#max} calls wait already`, one.route.name));
      return;
    }
    this.#waiting.push(one);
  }

  /** Those that were said and may be said again come first. They were let in before, so the bound is not asked. */
  again(these: readonly Waiting[]): void {
    this.#waiting.unshift(...these);
  }

  /** As many as the gateway takes. */
  flow(connection: Connection): void {
    while (this.#waiting[0] !== undefined && (connection.hasRoom || !this.#waiting[0].isCall)) {
      this.#waiting.shift()?.start(connection);
    }
  }

  reject(error: (route: string) => ProtogateError): void {
    const all = this.#waiting;
    this.#waiting = [];
    for (const one of all) one.reject(error(one.route.name));
  }

  get isEmpty(): boolean {
    return this.#waiting.every((one) => one.isSettled);
  }
}
