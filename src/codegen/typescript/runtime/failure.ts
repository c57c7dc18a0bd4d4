/**
 * A call, a stream or a connection that did not succeed.
 */

import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { anyUnpack, type Any } from "@bufbuild/protobuf/wkt";
import { Status_Source, type Status } from "./protogate/wire/v1/wire_pb.js";

/** google.rpc.Code. */
export const Code = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

/** Who said no: the gateway, the service behind it, or this client. */
export type Source = "gateway" | "service" | "client";

export interface Facts {
  readonly code: number;
  readonly reason: string;
  readonly message: string;
  readonly source?: Source;
  readonly mayHaveRun: boolean;
  readonly retryAfterMs?: number | undefined;
  readonly details?: readonly Any[];
  readonly route?: string | undefined;
  readonly cause?: unknown;
}

/** Reasons with which the gateway refuses at its door: no service has heard of the call. */
const AT_THE_DOOR = new Set([
  "INVALID_MESSAGE",
  "VALIDATION_FAILED",
  "UNKNOWN_PROTOCOL",
  "UNAUTHENTICATED",
  "INVALID_TOKEN",
  "PERMISSION_DENIED",
  "GUARD_DENIED",
  "GUARD_UNAVAILABLE",
  "RATE_LIMITED",
  "TOO_LARGE",
  "TOO_MANY_CALLS",
  "TOO_MANY_STREAMS",
  "METADATA_REFUSED",
  "IDENTITY_TYPE",
  "UNKNOWN_TOPIC",
  "TOO_MANY_TOPICS",
]);

export class ProtogateError extends Error {
  override readonly name = "ProtogateError";
  /** google.rpc.Code. */
  readonly code: number;
  /** A stable token to match on. */
  readonly reason: string;
  readonly source: Source;
  /** Whether a service may have acted upon it. If not, it may be said again without harm. */
  readonly mayHaveRun: boolean;
  /** When to try again, if that is known. */
  readonly retryAfterMs: number | undefined;
  readonly details: readonly Any[];
  /** The route that was called. */
  readonly route: string | undefined;

  constructor(facts: Facts) {
    super(facts.message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.code = facts.code;
    this.reason = facts.reason;
    this.source = facts.source ?? "client";
    this.mayHaveRun = facts.mayHaveRun;
    this.retryAfterMs = facts.retryAfterMs;
    this.details = facts.details ?? [];
    this.route = facts.route;
  }

  /** The first detail of a type, such as google.rpc.BadRequest. One that cannot be read is none. */
  detail<D extends DescMessage>(schema: D): MessageShape<D> | undefined {
    for (const detail of this.details) {
      try {
        const found = anyUnpack(detail, schema);
        if (found !== undefined) return found;
      } catch {
        // Whoever asks is handling a failure, and gets no other one.
      }
    }
    return undefined;
  }
}

/** What an answer with a status means. */
export function refused(status: Status, route: string | undefined): ProtogateError {
  const source = status.source === Status_Source.BACKEND ? "service" : "gateway";
  return new ProtogateError({
    code: status.code,
    reason: status.reason,
    message: status.message || status.reason,
    source,
    mayHaveRun: source === "service" || !AT_THE_DOOR.has(status.reason),
    retryAfterMs: status.retryAfterMs || undefined,
    details: status.details,
    route,
  });
}

/** The connection ended before the answer came. */
export function lost(route: string | undefined, mayHaveRun: boolean, why: string): ProtogateError {
  return new ProtogateError({ code: Code.UNAVAILABLE, reason: "CONNECTION_LOST", message: `the connection was lost: ${why}`, mayHaveRun, route });
}

export function late(route: string | undefined, mayHaveRun: boolean): ProtogateError {
  return new ProtogateError({ code: Code.DEADLINE_EXCEEDED, reason: "DEADLINE_EXCEEDED", message: "time ran out", mayHaveRun, route });
}

export function cancelled(route: string | undefined, mayHaveRun: boolean, cause?: unknown): ProtogateError {
  return new ProtogateError({ code: Code.CANCELLED, reason: "CANCELLED", message: "it was cancelled", mayHaveRun, route, cause });
}

/** What this client does not do. */
export function local(code: number, reason: string, message: string, route?: string): ProtogateError {
  return new ProtogateError({ code, reason, message, mayHaveRun: false, route });
}
