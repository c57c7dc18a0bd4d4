/**
 * WebSockets, whoever makes them: browsers, Node from 22 on, or a library such as `ws`.
 */

import type { Clock } from "./clock.js";
import { local, Code } from "./failure.js";

/** How long the other side may take for its farewell. */
const FAREWELL_MS = 1_000;

/** What is used of a WebSocket. Those of browsers and of `ws` are like this. */
export interface Socket {
  binaryType: string;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number, reason?: string): void;
}

export type SocketConstructor = new (url: string, protocols: string[]) => Socket;

/** The host's own, if it has one. */
export function hostSocket(): SocketConstructor {
  const found = (globalThis as unknown as { WebSocket?: SocketConstructor }).WebSocket;
  if (found === undefined) {
    throw local(Code.FAILED_PRECONDITION, "NO_WEBSOCKET", "there is no WebSocket here; give one as `webSocket`, such as that of the package `ws`");
  }
  return found;
}

/** Ends it, whether or not the other side still says anything. */
export function drop(socket: Socket, isDead: boolean, clock: Clock): void {
  socket.onopen = socket.onmessage = socket.onclose = null;
  // A socket that ends before it was open says so, and it is known.
  socket.onerror = () => {};
  // A library waits long for the farewell of one that says nothing any more, and a program with it.
  const { terminate } = socket as { terminate?: () => void };
  try {
    if (isDead) terminate?.call(socket);
    else if (terminate !== undefined) socket.onclose = clock.after(FAREWELL_MS, () => terminate.call(socket));
    socket.close(1000);
  } catch {
    // It had ended.
  }
}

/** Where a resume token is sent is never less safe than what the program asked for. */
export function isAsSafe(named: string, own: string): boolean {
  return /^wss:/i.test(named) || (/^ws:/i.test(named) && /^(ws|http):/i.test(own));
}
