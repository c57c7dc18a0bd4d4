/**
 * What a route is called like in TypeScript, by the kind of its method.
 */

import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { Gateway } from "./gateway.js";
import type { CallOptions } from "./options.js";
import type { Route } from "./route.js";
import type { BidiStream, ClientStream, ServerStream } from "./stream.js";

export type Method<I extends DescMessage, O extends DescMessage, K> = K extends "unary"
  ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<MessageShape<O>>
  : K extends "silent"
    ? (request: MessageInitShape<I>, options?: CallOptions) => Promise<void>
    : K extends "server_stream"
      ? (request: MessageInitShape<I>, options?: CallOptions) => ServerStream<O>
      : K extends "client_stream"
        ? (options?: CallOptions) => ClientStream<I, O>
        : (options?: CallOptions) => BidiStream<I, O>;

/** The method of a client for a route. */
export function method<I extends DescMessage, O extends DescMessage, K extends Route<I, O>["kind"]>(
  gateway: Gateway,
  route: Route<I, O, K>,
): Method<I, O, K> {
  const one = route as Route<I, O>;
  const by = (): unknown => {
    switch (one.kind) {
      case "unary":
        return (request: MessageInitShape<I>, options?: CallOptions) => gateway.call(one as Route<I, O, "unary">, request, options);
      case "silent":
        return (request: MessageInitShape<I>, options?: CallOptions) => gateway.tell(one as Route<I, O, "silent">, request, options);
      case "server_stream":
        return (request: MessageInitShape<I>, options?: CallOptions) => gateway.open(one as Route<I, O, "server_stream">, request, options);
      case "client_stream":
        return (options?: CallOptions) => gateway.open(one as Route<I, O, "client_stream">, options);
      case "bidi":
        return (options?: CallOptions) => gateway.open(one as Route<I, O, "bidi">, options);
    }
  };
  return by() as Method<I, O, K>;
}
