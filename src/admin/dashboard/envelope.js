/**
 * A client of the gateway: one WebSocket that speaks envelopes in JSON, by docs/protocol.md. It knows what the numbers of the gateway itself
 * mean, gives calls their ids, acknowledges what its session is pushed, and tells whoever listens what was said.
 */

const SUBPROTOCOL = "protogate.v1.json";

/** The gateway's own numbers. */
export const OWN = { HELLO: 1, AUTHENTICATE: 2, READY: 3, PING: 6, PONG: 7, GOODBYE: 11, SUBSCRIBE: 12, UNSUBSCRIBE: 13, CANCEL: 15 };

const NAMES = {
  1: "Hello",
  2: "Authenticate",
  3: "Ready",
  4: "Resume",
  5: "Resumed",
  6: "Ping",
  7: "Pong",
  8: "RefreshToken",
  9: "TokenExpiring",
  10: "Reconnect",
  11: "Goodbye",
  12: "Subscribe",
  13: "Unsubscribe",
  15: "Cancel",
};

/** Answers that have a number with their questions. */
const ANSWERS = { 12: "Subscribed", 13: "Unsubscribed" };

/** @typedef {"unary" | "server_stream" | "client_stream" | "bidi"} Kind */

/** A call that is not answered yet, or a stream. @typedef {{ id: number, protocol: number, kind: Kind, at: number, taken: number, ended: boolean }} Open */

/**
 * @typedef {{ opened: () => void, said: (envelope: any) => void, heard: (envelope: any, call: Open | null) => void, closed: (code: number, reason: string) => void }} Listener
 */

export class Client {
  /** @type {Map<number, Open>} */
  open = new Map();
  #socket;
  #listener;
  #next = 1;
  /** Messages of a stream that are taken before as many more are asked for: half of what Hello grants at first. */
  #grant = 1;

  /**
   * @param {string} url
   * @param {Listener} listener
   * @throws {SyntaxError} if it is no URL of a WebSocket
   */
  constructor(url, listener) {
    this.#listener = listener;
    this.#socket = new WebSocket(url, [SUBPROTOCOL]);
    this.#socket.addEventListener("open", () => listener.opened());
    this.#socket.addEventListener("message", (event) => this.#hear(event.data));
    this.#socket.addEventListener("close", (event) => {
      this.open.clear();
      listener.closed(event.code, event.reason);
    });
  }

  get isOpen() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /**
   * Begins a call or a stream.
   * @param {number} protocol
   * @param {unknown} payload
   * @param {Kind} [kind]
   * @returns {Open}
   */
  call(protocol, payload, kind = "unary") {
    const call = { id: this.#next, protocol, kind, at: performance.now(), taken: 0, ended: !takesMany(kind) };
    this.#next += 1;
    this.open.set(call.id, call);
    this.#say({ protocol, id: call.id, payload, ...(takesMany(kind) && { more: true }) });
    return call;
  }

  /** One more message on a stream. @param {number} id @param {unknown} payload */
  more(id, payload) {
    this.#say({ id, payload, more: true });
  }

  /** The end of what we say on a stream. @param {number} id */
  end(id) {
    const call = this.open.get(id);
    if (call) call.ended = true;
    this.#say({ id });
  }

  /** @param {number} id */
  cancel(id) {
    this.#say({ protocol: OWN.CANCEL, payload: { id } });
  }

  close() {
    this.#socket.close(1000);
  }

  #say(envelope) {
    if (!this.isOpen) return;
    this.#socket.send(JSON.stringify(envelope));
    this.#listener.said(envelope);
  }

  #hear(text) {
    let envelope;
    try {
      envelope = JSON.parse(text);
    } catch {
      envelope = { status: { message: "the gateway said what is not JSON" } };
    }
    if (envelope.protocol === OWN.HELLO) this.#grant = Math.max(1, Math.floor((envelope.payload?.streamCredit ?? 2) / 2));
    const call = this.#settle(envelope);
    if (envelope.seq) this.#acknowledge(envelope.seq);
    this.#listener.heard(envelope, call);
  }

  /** Finds what a message answers, and forgets it if that was the end. */
  #settle(envelope) {
    const call = envelope.id ? (this.open.get(envelope.id) ?? null) : null;
    if (!call) return null;
    if (envelope.more) {
      call.taken += 1;
      if (call.taken % this.#grant === 0) this.#socket.send(JSON.stringify({ id: call.id, credit: this.#grant }));
      return call;
    }
    const isGrant = envelope.credit && !envelope.status && envelope.payload === undefined;
    if (!isGrant) this.open.delete(envelope.id);
    return call;
  }

  #acknowledge(seq) {
    this.#socket.send(JSON.stringify({ protocol: OWN.PONG, ack: seq }));
  }
}

/** Whether a client says many messages on it. @param {Kind} kind */
export const takesMany = (kind) => kind === "client_stream" || kind === "bidi";

/**
 * What the gateway calls one of its own numbers.
 * @param {number} number
 * @param {boolean} [heard] it came from the gateway
 * @returns {string | undefined}
 */
export const ownName = (number, heard = false) => (heard && ANSWERS[number]) || NAMES[number];

/** Whether a client should connect again after this close code. @param {number} code */
export const isTemporary = (code) => [1001, 1006, 1011, 1012].includes(code) || (code >= 4000 && code < 4500);
