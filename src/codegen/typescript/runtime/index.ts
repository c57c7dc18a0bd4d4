/**
 * What a program uses of the client.
 */

export type { Clock } from "./clock.js";
export type { Events, Gap, State } from "./events.js";
export { Code, ProtogateError, type Source } from "./failure.js";
export { Gateway, type Told } from "./gateway.js";
export { method, type Method } from "./methods.js";
export type { CallOptions, Options, Signal } from "./options.js";
export type { Kind, Push, Route } from "./route.js";
export type { Socket, SocketConstructor } from "./socket.js";
export type { Session } from "./standing.js";
export type { BidiStream, ClientStream, ServerStream } from "./stream.js";
export type { At } from "./topics.js";
export { verdict, type Verdict } from "./verdict.js";
