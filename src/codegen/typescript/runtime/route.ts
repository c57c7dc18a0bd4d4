/**
 * Routes and pushes, as the generated tables hold them.
 */

import type { DescMessage } from "@bufbuild/protobuf";

/** How many messages go each way. A `silent` route answers only when it fails. */
export type Kind = "unary" | "silent" | "server_stream" | "client_stream" | "bidi";

export interface Route<I extends DescMessage, O extends DescMessage, K extends Kind = Kind> {
  readonly number: number;
  readonly name: string;
  readonly kind: K;
  readonly input: I;
  readonly output: O;
  /** It may be called again as if it had been called once. */
  readonly idempotent?: boolean;
  /** Its success ends the session. */
  readonly leaves?: boolean;
}

export interface Push<M extends DescMessage> {
  readonly number: number;
  readonly name: string;
  readonly message: M;
}
