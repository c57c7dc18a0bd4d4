/**
 * One WebSocket, from its handshake to its end, and what was asked on it.
 *
 * Promises: it ends once and says how, also when the other side falls silent; what was asked on it is told of its end; nothing is said
 * that is larger than the gateway takes.
 */

import { cancel } from "./calls.js";
import type { Clock } from "./clock.js";
import { Code, local, type ProtogateError } from "./failure.js";
import type { Envelope, Goodbye, Hello } from "./protogate/wire/v1/wire_pb.js";
import { drop, type Socket, type SocketConstructor } from "./socket.js";
import { decode, encode, number, payload, pb, read, SUBPROTOCOL, type EnvelopeInit } from "./wire.js";

/** What waits for what the gateway says under an id. */
export interface Asked {
  readonly isCall: boolean;
  readonly isSettled: boolean;
  readonly route: { readonly name: string };
  start(connection: Connection): void;
  reject(error: ProtogateError): void;
  /** True if that was the end of it. */
  hear(envelope: Envelope): boolean;
  /** The connection has ended. True if it may be asked again on another one. */
  lost(why: string): boolean;
}

/** How a connection ended. */
export interface Lost {
  readonly code: number;
  readonly why: string;
  /** The gateway's last words. */
  readonly goodbye: Goodbye | undefined;
  /** What may be asked again elsewhere. */
  readonly again: readonly Asked[];
}

export interface Door {
  readonly url: string;
  readonly webSocket: SocketConstructor;
  readonly clock: Clock;
  readonly timeoutMs: number;
  /** The highest seq that is acknowledged by whatever is said. */
  acknowledge(): number;
  /** Hears everything that is no answer, and the gateway's own words before whoever asked for them. */
  hear(envelope: Envelope, connection: Connection): void;
  /** Another call may be in flight. */
  freed(connection: Connection): void;
}

const LOST = 1006;
/** What is no envelope comes from no gateway. */
const MALFORMED = 1002;
/** How long the end may come after a failure, whose code says more. */
const FAILED_MS = 100;
const ID_MAX = 2 ** 32 - 1;
/** What a client says of its own, such as that it takes back a call, has room in so many bytes. */
const LEAST_BYTES = 128;

export class Connection {
  /** Whether the gateway has said Hello, or it ended before. */
  readonly greeted: Promise<boolean>;
  readonly ended: Promise<Lost>;
  hello!: Hello;
  goodbye: Goodbye | undefined;
  /** Whether another connection speaks for the session. */
  isLeaving = false;
  #open = true;
  #lastId = 0;
  #calls = 0;
  #idle: (() => void)[] = [];
  #heardAt: number;
  #undoTimer: () => void;
  #undoFailure: (() => void) | undefined;
  readonly #asked = new Map<number, Asked>();
  readonly #socket: Socket;
  readonly #door: Door;
  #end!: (lost: Lost) => void;
  #greet!: (isThere: boolean) => void;

  constructor(door: Door) {
    this.#door = door;
    this.greeted = new Promise((resolve) => (this.#greet = resolve));
    this.ended = new Promise((resolve) => (this.#end = resolve));
    // It throws if such an address is none; then nothing was begun.
    const socket = new door.webSocket(door.url, [SUBPROTOCOL]);
    this.#socket = socket;
    this.#heardAt = door.clock.now();
    this.#undoTimer = door.clock.after(door.timeoutMs, () => this.lose(LOST, "no Hello in time"));
    socket.binaryType = "arraybuffer";
    // Some hosts, such as Node 22, say of a place where nobody listens that it failed, and never that it ended.
    socket.onerror = () => (this.#undoFailure ??= door.clock.after(FAILED_MS, () => this.lose(LOST, "the WebSocket failed")));
    socket.onclose = (event: { readonly code: number; readonly reason: string }) => this.lose(event.code, String(event.reason));
    socket.onmessage = (event: { readonly data: unknown }) => this.#take(event.data);
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Whether another call may be in flight. */
  get hasRoom(): boolean {
    return this.#open && this.#calls < this.hello.inflightMax;
  }

  /** Reserves an id for what is about to be said. */
  ask(asked: Asked): number {
    do {
      this.#lastId = this.#lastId >= ID_MAX ? 1 : this.#lastId + 1;
    } while (this.#asked.has(this.#lastId));
    this.#asked.set(this.#lastId, asked);
    if (asked.isCall) this.#calls += 1;
    return this.#lastId;
  }

  /** The id is free again. */
  forget(id: number): void {
    const asked = this.#asked.get(id);
    if (asked === undefined) return;
    this.#asked.delete(id);
    if (!asked.isCall) return;
    this.#calls -= 1;
    this.#door.freed(this);
    if (this.#calls === 0) for (const told of this.#idle.splice(0)) told();
  }

  /** Throws what is too large to be said; on a connection that has ended it is said to nobody. */
  say(said: EnvelopeInit): void {
    if (!this.#open) return;
    const bytes = encode(this.isLeaving ? said : { ...said, ack: this.#door.acknowledge() });
    const most = this.hello.messageBytesMax;
    if (most > 0 && bytes.length > most) {
      throw local(Code.RESOURCE_EXHAUSTED, "TOO_LARGE", `${bytes.length} bytes are more than the gateway takes, which is ${most}`);
    }
    try {
      this.#socket.send(bytes);
    } catch (error) {
      // A socket that takes nothing is one that has ended, whether or not it has said so.
      this.lose(LOST, String(error));
    }
  }

  /** Asks the gateway to forget a call or a stream. It is answered all the same. */
  cancel(id: number): void {
    if (this.#asked.has(id)) this.say(cancel(id));
  }

  /** Resolves when no call is in flight, or it has ended. */
  idle(): Promise<void> {
    return this.#calls === 0 || !this.#open ? Promise.resolve() : new Promise((resolve) => this.#idle.push(resolve));
  }

  /** Ends it from here. */
  lose(code: number, why: string): void {
    if (!this.#open) return;
    this.#open = false;
    this.#undoTimer();
    this.#undoFailure?.();
    this.#greet(false);
    drop(this.#socket, code === LOST, this.#door.clock);
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    this.#calls = 0;
    for (const told of this.#idle.splice(0)) told();
    const again = asked.filter((one) => one.lost(why || `closed with ${code}`));
    this.#end({ code, why: why || `closed with ${code}`, goodbye: this.goodbye, again });
  }

  #take(data: unknown): void {
    if (!this.#open) return;
    this.#heardAt = this.#door.clock.now();
    let envelope: Envelope;
    try {
      if (!(data instanceof ArrayBuffer)) throw new TypeError("a text");
      envelope = decode(new Uint8Array(data));
      if (this.#isOwn(envelope)) return;
      this.#door.hear(envelope, this);
    } catch (error) {
      this.lose(MALFORMED, `what came is no envelope: ${String(error)}`);
      return;
    }
    if (envelope.id === 0) return;
    const asked = this.#asked.get(envelope.id);
    if (asked?.hear(envelope) === true) this.forget(envelope.id);
  }

  /** What concerns this connection alone. */
  #isOwn(envelope: Envelope): boolean {
    switch (envelope.protocol) {
      case number.HELLO:
        this.#greeted(read(pb.HelloSchema, envelope.payload));
        return true;
      case number.PING:
        this.say({ protocol: number.PONG, id: envelope.id, payload: payload(pb.PongSchema, { timeMs: read(pb.PingSchema, envelope.payload).timeMs }) });
        return true;
      case number.PONG:
        // One with an id was asked for.
        return envelope.id === 0;
      case number.GOODBYE:
        this.goodbye = read(pb.GoodbyeSchema, envelope.payload);
        return true;
      default:
        return false;
    }
  }

  /** What was agreed upon stays: a gateway greets once, and leaves room for what we have to say. */
  #greeted(hello: Hello): void {
    if (this.hello !== undefined) throw new TypeError("a second Hello");
    if (hello.messageBytesMax > 0 && hello.messageBytesMax < LEAST_BYTES) throw new TypeError("a Hello that lets nothing be said");
    this.hello = hello;
    this.#watch();
    this.#greet(true);
  }

  /** The gateway says something in every heartbeat; one that does not is gone. */
  #watch(): void {
    this.#undoTimer();
    const { heartbeatMs, graceMs } = this.hello;
    if (heartbeatMs === 0) return;
    const left = this.#heardAt + heartbeatMs + graceMs - this.#door.clock.now();
    if (left <= 0) this.lose(LOST, "no sign of life");
    else this.#undoTimer = this.#door.clock.after(left, () => this.#watch());
  }
}
