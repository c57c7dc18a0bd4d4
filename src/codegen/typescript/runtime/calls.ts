/**
 * One call: it waits for a connection, is said, and is answered once.
 *
 * Promises: it settles exactly once, also when nothing ever comes; whoever gave up on it is not told again; it is said a second time only
 * where that does no harm.
 */

import type { Clock } from "./clock.js";
import type { Connection, Asked } from "./connection.js";
import { cancelled, Code, late, local, lost, refused, type ProtogateError } from "./failure.js";
import type { CallOptions } from "./options.js";
import type { Envelope } from "./protogate/wire/v1/wire_pb.js";
import { number, payload, pb } from "./wire.js";

/** How often a call is said at most. */
const SENDS_MAX = 3;

/** What is known of a route here. */
export interface Called {
  readonly number: number;
  readonly name: string;
  readonly idempotent?: boolean;
}

export class Call implements Asked {
  readonly isCall = true;
  /** The payload of the answer. */
  readonly answer: Promise<Uint8Array>;
  /** Nobody waits for it any more. */
  isSettled = false;
  readonly route: Called;
  readonly #bytes: Uint8Array;
  readonly #options: CallOptions;
  readonly #clock: Clock;
  readonly #until: number;
  #said: { connection: Connection; id: number } | undefined;
  #sends = 0;
  #settle!: (error: ProtogateError | undefined, bytes: Uint8Array) => void;

  constructor(route: Called, bytes: Uint8Array, options: CallOptions, timeoutMs: number, clock: Clock) {
    this.route = route;
    this.#bytes = bytes;
    this.#options = options;
    this.#clock = clock;
    this.#until = clock.now() + timeoutMs;
    const undoTimer = clock.after(timeoutMs, () => this.#give(late(route.name, this.#sends > 0)));
    const aborted = () => this.#give(cancelled(route.name, this.#sends > 0, options.signal?.reason));
    this.answer = new Promise((resolve, reject) => {
      this.#settle = (error, found) => {
        if (this.isSettled) return;
        this.isSettled = true;
        undoTimer();
        options.signal?.removeEventListener("abort", aborted);
        if (error === undefined) resolve(found);
        else reject(error);
      };
    });
    if (options.signal?.aborted === true) aborted();
    else options.signal?.addEventListener("abort", aborted);
  }

  start(connection: Connection): void {
    if (this.isSettled) return;
    const id = connection.ask(this);
    const { idempotencyKey = "", metadata = {}, traceparent = "" } = this.#options;
    const deadlineMs = Math.max(1, Math.round(this.#until - this.#clock.now()));
    try {
      const said = { protocol: this.route.number, id, payload: this.#bytes, deadlineMs, idempotencyKey, metadata, traceparent };
      // The gateway's own numbers know of no deadline.
      connection.say(this.route.number < 1000 ? { protocol: said.protocol, id, payload: said.payload } : said);
      this.#sends += 1;
      this.#said = { connection, id };
    } catch (error) {
      connection.forget(id);
      this.#settle(error as ProtogateError, NOTHING);
    }
  }

  hear(envelope: Envelope): boolean {
    const status = envelope.status;
    this.#settle(status === undefined || status.code === 0 ? undefined : refused(status, this.route.name), envelope.payload);
    return true;
  }

  /** The connection has ended. True if it may be said on another one. */
  lost(why: string): boolean {
    const wasSaid = this.#said !== undefined;
    this.#said = undefined;
    if (this.isSettled) return false;
    const isSafe = this.route.idempotent === true || this.#options.idempotencyKey !== undefined;
    if (!wasSaid || (isSafe && this.#sends < SENDS_MAX)) return true;
    this.#settle(lost(this.route.name, true, why), NOTHING);
    return false;
  }

  reject(error: ProtogateError): void {
    this.#settle(error, NOTHING);
  }

  /** It was said, and nothing more is to come. */
  done(): void {
    this.#settle(undefined, NOTHING);
  }

  /** Gives it up. What the gateway still answers is for nobody. */
  #give(error: ProtogateError): void {
    if (this.isSettled) return;
    this.#settle(error, NOTHING);
    const said = this.#said;
    // Until it is answered its id is in use, and it counts as a call in flight.
    if (said !== undefined && this.route.number >= 1000) said.connection.cancel(said.id);
  }
}

const NOTHING = new Uint8Array();

/** What ends a call or a stream. */
export function cancel(id: number): { protocol: number; payload: Uint8Array } {
  return { protocol: number.CANCEL, payload: payload(pb.CancelSchema, { id }) };
}

/** A reply that is not of its type. */
export function unreadable(route: string, cause: unknown): ProtogateError {
  const error = local(Code.INTERNAL, "BAD_REPLY", `the answer is not of its type: ${String(cause)}`, route);
  return Object.assign(error, { mayHaveRun: true });
}
