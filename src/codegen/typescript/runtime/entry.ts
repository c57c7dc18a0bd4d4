/**
 * How a new connection becomes the client's: it resumes the session, or shows a token, or stays nobody's.
 */

import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { Call } from "./calls.js";
import type { Clock } from "./clock.js";
import type { Connection } from "./connection.js";
import { Code, ProtogateError } from "./failure.js";
import type { Options } from "./options.js";
import type { Route } from "./route.js";
import type { Standing } from "./standing.js";
import { control, payload } from "./wire.js";

/** What is shown on a connection. */
export interface Shown {
  readonly token: string | undefined;
  readonly standing: Standing;
  readonly options: Options;
  readonly clock: Clock;
  readonly timeoutMs: number;
}

/** Says something on this connection, and waits for the answer; what it says was heard by then. */
export async function ask<I extends DescMessage>(
  connection: Connection,
  route: Route<I, DescMessage>,
  message: MessageInitShape<I>,
  { clock, timeoutMs }: Pick<Shown, "clock" | "timeoutMs">,
): Promise<void> {
  const call = new Call(route, payload(route.input, message), {}, timeoutMs, clock);
  call.start(connection);
  // Nothing is said again here: what is asked is of one connection.
  try {
    await Promise.race([call.answer, connection.ended.then(({ why }) => Promise.reject(new Error(why)))]);
  } catch (error) {
    // One that was said on a connection that had ended waits for nothing.
    call.reject(error as ProtogateError);
    throw error;
  }
}

/** True where the client has a session. It throws what the gateway, or the network, has against it for now. */
export async function enter(connection: Connection, shown: Shown): Promise<boolean> {
  const { token, standing, options } = shown;
  if (standing.resumable) {
    try {
      await ask(connection, control.resume, standing.resume(token), shown);
      return true;
    } catch (error) {
      // The store cannot be reached just now, or the token is none: the session may be there still.
      const isOurs = error instanceof ProtogateError;
      const isGone = isOurs && error.source === "gateway" && error.code !== Code.UNAVAILABLE && error.reason !== "INVALID_TOKEN";
      // What is too large to be said today is so tomorrow.
      if (!isGone && !(isOurs && error.source === "client" && error.reason === "TOO_LARGE")) throw error;
      standing.forget();
    }
  }
  if (token === undefined) return false;
  const { clientName = "", clientVersion = "", deviceId = "" } = options;
  await ask(connection, control.authenticate, { token, clientName, clientVersion, deviceId }, shown);
  return true;
}
