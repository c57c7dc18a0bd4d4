/**
 * What a program says of its client, and what holds where it says nothing.
 */

import type { Clock } from "./clock.js";
import type { SocketConstructor } from "./socket.js";

export interface Options {
  /** Such as `wss://game.example.com/ws`. */
  readonly url: string;
  /**
   * Gives the token of whoever uses the program now, or nothing while nobody is logged in. It is asked for each connection and before
   * the identity ends, and is never part of a URL.
   */
  readonly token?: (() => string | undefined | Promise<string | undefined>) | undefined;
  /** What makes WebSockets, where the host does not. */
  readonly webSocket?: SocketConstructor | undefined;
  /** For the operator's eyes. */
  readonly clientName?: string | undefined;
  readonly clientVersion?: string | undefined;
  readonly deviceId?: string | undefined;
  /** How long a call may take, waiting for a connection included; and how long a stream may wait for one (30 s). */
  readonly timeoutMs?: number | undefined;
  /** How long a connection may take until the gateway has said Hello, and the token until it is there (10 s). */
  readonly connectTimeoutMs?: number | undefined;
  /** What becomes of calls while there is no connection: they wait, or fail at once. */
  readonly whenDisconnected?: "wait" | "fail" | undefined;
  /** How many may wait (256). */
  readonly queueMax?: number | undefined;
  /** Pauses between connections: from nothing to a bound that doubles from `firstMs` (500) up to `capMs` (15,000). */
  readonly firstMs?: number | undefined;
  readonly capMs?: number | undefined;
  /** So many tries in a row, until one is good (no end). */
  readonly triesMax?: number | undefined;
  /** What the program was generated from. */
  readonly catalogue?: string | undefined;
  /** For tests. */
  readonly clock?: Clock | undefined;
}

/** What is said of one call. */
export interface CallOptions {
  readonly timeoutMs?: number | undefined;
  /** Names what the call does, so that done twice it is done once. With it a call may be repeated after a connection was lost. */
  readonly idempotencyKey?: string | undefined;
  /** An AbortSignal. */
  readonly signal?: Signal | undefined;
  /** Words for the service; only keys that the route lists. */
  readonly metadata?: { readonly [key: string]: string } | undefined;
  readonly traceparent?: string | undefined;
  readonly whenDisconnected?: "wait" | "fail" | undefined;
}

/** What is used of an AbortSignal. */
export interface Signal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}
