/**
 * The gateway's own numbers, and envelopes as bytes.
 */

import { create, fromBinary, toBinary, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import * as pb from "./protogate/wire/v1/wire_pb.js";
import type { Route } from "./route.js";

export const SUBPROTOCOL = "protogate.v1.proto";

/** Numbers from here on are the application's. */
export const APPLICATION_MIN = 1000;

export const number = {
  HELLO: 1,
  READY: 3,
  RESUMED: 5,
  PING: 6,
  PONG: 7,
  REFRESH_TOKEN: 8,
  TOKEN_EXPIRING: 9,
  RECONNECT: 10,
  GOODBYE: 11,
  SUBSCRIBE: 12,
  UNSUBSCRIBE: 13,
  CANCEL: 15,
} as const;

export type EnvelopeInit = Omit<MessageInitShape<typeof pb.EnvelopeSchema>, "$typeName">;

/** What the gateway itself answers, in the form of routes. */
export const control = {
  authenticate: { number: 2, name: "authenticate", kind: "unary", input: pb.AuthenticateSchema, output: pb.ReadySchema } as const,
  resume: { number: 4, name: "resume", kind: "unary", input: pb.ResumeSchema, output: pb.ResumedSchema } as const,
  ping: { number: 6, name: "ping", kind: "unary", input: pb.PingSchema, output: pb.PongSchema, idempotent: true } as const,
  refresh: { number: 8, name: "refresh_token", kind: "unary", input: pb.RefreshTokenSchema, output: pb.ReadySchema } as const,
  subscribe: { number: 12, name: "subscribe", kind: "unary", input: pb.SubscribeSchema, output: pb.SubscribedSchema, idempotent: true } as const,
  unsubscribe: { number: 13, name: "unsubscribe", kind: "unary", input: pb.UnsubscribeSchema, output: pb.UnsubscribeSchema, idempotent: true } as const,
} satisfies Record<string, Route<DescMessage, DescMessage, "unary">>;

export function encode(said: EnvelopeInit): Uint8Array<ArrayBuffer> {
  const bytes = toBinary(pb.EnvelopeSchema, create(pb.EnvelopeSchema, said as MessageInitShape<typeof pb.EnvelopeSchema>));
  // Nobody shares what was just made, although not every version of the runtime says so.
  return bytes as Uint8Array<ArrayBuffer>;
}

export function decode(bytes: Uint8Array): pb.Envelope {
  return fromBinary(pb.EnvelopeSchema, bytes);
}

/** A message as the payload of an envelope. */
export function payload<D extends DescMessage>(schema: D, message: MessageInitShape<D>): Uint8Array {
  return toBinary(schema, create(schema, message));
}

export function read<D extends DescMessage>(schema: D, bytes: Uint8Array): MessageShape<D> {
  return fromBinary(schema, bytes);
}

export { pb };
