/**
 * A stream: many messages one way or both ways, under one id.
 *
 * Promises: it ends once; neither side sends more than the other granted; what is not read is not sent, because credit is granted as
 * messages are read; what waits to be sent is bounded, and so is the wait for a connection. It is opened by its first message, or by `close` if there is none, and is of one
 * connection: what is lost with that is not taken up again.
 */

import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { unreadable } from "./calls.js";
import type { Clock } from "./clock.js";
import type { Connection, Asked } from "./connection.js";
import { cancelled, Code, late, local, lost, refused, type ProtogateError } from "./failure.js";
import type { CallOptions } from "./options.js";
import type { Envelope } from "./protogate/wire/v1/wire_pb.js";
import type { Route } from "./route.js";
import { payload, read, type EnvelopeInit } from "./wire.js";

/** Messages that may wait to be sent. */
const WAITING_MAX = 256;

/** Messages from a service, for `for await`. Leaving the loop cancels the stream. */
export interface ServerStream<O extends DescMessage> extends AsyncIterable<MessageShape<O>> {
  cancel(reason?: unknown): void;
}

/** Messages to a service, and its one answer. */
export interface ClientStream<I extends DescMessage, O extends DescMessage> {
  /** Resolves when it is sent, which is when the service has room. */
  send(message: MessageInitShape<I>): Promise<void>;
  /** There are no more. */
  close(): void;
  cancel(reason?: unknown): void;
  readonly reply: Promise<MessageShape<O>>;
}

/** Messages both ways. */
export interface BidiStream<I extends DescMessage, O extends DescMessage> extends ServerStream<O> {
  send(message: MessageInitShape<I>): Promise<void>;
  close(): void;
}

interface Reader<T> {
  resolve(result: IteratorResult<T, undefined>): void;
  reject(error: unknown): void;
}

interface Outgoing {
  /** Nothing: the end. */
  readonly bytes: Uint8Array | undefined;
  sent(error?: ProtogateError): void;
}

export class Stream<I extends DescMessage, O extends DescMessage> implements Asked, ClientStream<I, O>, BidiStream<I, O> {
  readonly isCall = false;
  readonly route: Route<I, O>;
  readonly reply: Promise<MessageShape<O>>;
  /** How it ended: well, or with this. */
  #end: { readonly error: ProtogateError | undefined } | undefined;
  #said: { readonly connection: Connection; readonly id: number } | undefined;
  #connection: Connection | undefined;
  #isClosed = false;
  /** Messages that may be sent, and that were read and not granted again. */
  #credit = 0;
  #owed = 0;
  readonly #options: CallOptions;
  readonly #out: Outgoing[] = [];
  readonly #in: MessageShape<O>[] = [];
  readonly #readers: Reader<MessageShape<O>>[] = [];
  readonly #undoSignal: () => void;
  readonly #undoTimer: () => void;
  #replied!: (error: ProtogateError | undefined, reply?: MessageShape<O>) => void;

  /** `patience`: how long it may wait for a connection, in milliseconds. */
  constructor(route: Route<I, O>, options: CallOptions, patience: number, clock: Clock) {
    this.route = route;
    this.#options = options;
    this.reply = new Promise((resolve, reject) => {
      this.#replied = (error, reply) => (error === undefined ? resolve(reply as MessageShape<O>) : reject(error));
    });
    // Whoever iterates hears of it there.
    this.reply.catch(() => {});
    const { signal } = options;
    const aborted = () => this.cancel(signal?.reason);
    this.#undoTimer = clock.after(patience, () => this.#finish(late(route.name, false)));
    this.#undoSignal = () => signal?.removeEventListener("abort", aborted);
    if (signal?.aborted === true) aborted();
    else signal?.addEventListener("abort", aborted);
  }

  get isSettled(): boolean {
    return this.#end !== undefined;
  }

  start(connection: Connection): void {
    if (this.#end !== undefined) return;
    this.#undoTimer();
    this.#connection = connection;
    this.#credit = connection.hello.streamCredit;
    this.#flow();
  }

  send(message: MessageInitShape<I>): Promise<void> {
    const sent = new Promise<void>((resolve, reject) => {
      const fail = (error: ProtogateError) => reject(error);
      if (this.#end !== undefined) return fail(this.#end.error ?? local(Code.FAILED_PRECONDITION, "CLOSED", "the stream has ended", this.route.name));
      if (this.#isClosed) return fail(local(Code.FAILED_PRECONDITION, "CLOSED", "the stream was closed", this.route.name));
      if (this.#out.length >= WAITING_MAX) return fail(local(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", `${WAITING_MAX} messages wait already`, this.route.name));
      this.#out.push({ bytes: payload(this.route.input, message), sent: (error) => (error === undefined ? resolve() : reject(error)) });
      this.#flow();
    });
    // Whoever does not wait for it hears of the end where it reads.
    sent.catch(() => {});
    return sent;
  }

  close(): void {
    if (this.#isClosed || this.#end !== undefined) return;
    this.#isClosed = true;
    this.#out.push({ bytes: undefined, sent: () => {} });
    this.#flow();
  }

  cancel(reason?: unknown): void {
    const said = this.#said;
    this.#finish(cancelled(this.route.name, said !== undefined, reason));
    // Until the gateway has said its end the id is in use.
    said?.connection.cancel(said.id);
  }

  hear(envelope: Envelope): boolean {
    const { status, more } = envelope;
    if (envelope.credit > 0) {
      this.#credit += envelope.credit;
      this.#flow();
    }
    if (status !== undefined) {
      this.#finish(status.code === 0 ? undefined : refused(status, this.route.name));
      return true;
    }
    // An ordinary reply has the route's number; a grant has nothing.
    const isReply = !more && envelope.protocol !== 0;
    if (more || isReply) this.#take(envelope.payload, isReply);
    return isReply;
  }

  lost(why: string): boolean {
    this.#finish(lost(this.route.name, true, why));
    return false;
  }

  reject(error: ProtogateError): void {
    this.#finish(error);
  }

  [Symbol.asyncIterator](): AsyncIterator<MessageShape<O>, undefined> {
    return {
      next: () => this.#next(),
      return: () => {
        if (this.#end === undefined) this.cancel();
        return Promise.resolve({ done: true, value: undefined });
      },
    };
  }

  #next(): Promise<IteratorResult<MessageShape<O>, undefined>> {
    const value = this.#in.shift();
    if (value !== undefined) {
      this.#read();
      return Promise.resolve({ done: false, value });
    }
    if (this.#end === undefined) return new Promise((resolve, reject) => this.#readers.push({ resolve, reject }));
    return this.#end.error === undefined ? Promise.resolve({ done: true, value: undefined }) : Promise.reject(this.#end.error);
  }

  /** A message was read, so that another may come: said for many at once. */
  #read(): void {
    const said = this.#said;
    if (said === undefined || this.#end !== undefined) return;
    this.#owed += 1;
    if (this.#owed * 2 < said.connection.hello.streamCredit) return;
    said.connection.say({ id: said.id, credit: this.#owed });
    this.#owed = 0;
  }

  #take(bytes: Uint8Array, isReply: boolean): void {
    if (this.#end !== undefined) return;
    let message: MessageShape<O>;
    try {
      message = read(this.route.output, bytes);
    } catch (error) {
      const said = this.#said;
      this.#finish(unreadable(this.route.name, error));
      if (!isReply) said?.connection.cancel(said.id);
      return;
    }
    if (isReply) {
      this.#replied(undefined, message);
      this.#finish(undefined);
      return;
    }
    const reader = this.#readers.shift();
    if (reader === undefined) {
      this.#keep(message);
    } else {
      this.#read();
      reader.resolve({ done: false, value: message });
    }
  }

  /** Keeps what nobody reads yet. There is never more of it than was granted. */
  #keep(message: MessageShape<O>): void {
    const said = this.#said;
    if (said === undefined || this.#in.length < said.connection.hello.streamCredit) {
      this.#in.push(message);
      return;
    }
    this.#finish(local(Code.RESOURCE_EXHAUSTED, "CREDIT_OVERRUN", "more came than was granted", this.route.name));
    said.connection.cancel(said.id);
  }

  /** Sends what may be sent. */
  #flow(): void {
    const connection = this.#connection;
    if (connection?.isOpen === false && this.#out.length > 0) {
      // It was lost before the first message, so that nobody heard of this stream.
      this.#finish(lost(this.route.name, false, "before the stream was opened"));
      return;
    }
    while (connection !== undefined && this.#out[0] !== undefined) {
      const { bytes, sent } = this.#out[0];
      const isMany = this.route.kind !== "server_stream";
      if (bytes !== undefined && isMany) {
        if (this.#credit === 0) return;
        this.#credit -= 1;
      }
      this.#out.shift();
      try {
        this.#say(connection, { ...(bytes === undefined ? {} : { payload: bytes }), more: bytes !== undefined && isMany });
        sent();
      } catch (error) {
        // Too large: the others may go on.
        if (bytes !== undefined && isMany) this.#credit += 1;
        sent(error as ProtogateError);
        if (!isMany) this.#finish(error as ProtogateError);
      }
    }
  }

  #say(connection: Connection, said: EnvelopeInit): void {
    if (this.#said !== undefined) {
      connection.say({ ...said, id: this.#said.id });
      return;
    }
    const id = connection.ask(this);
    const { timeoutMs = 0, metadata = {}, traceparent = "", idempotencyKey = "" } = this.#options;
    try {
      connection.say({ ...said, protocol: this.route.number, id, deadlineMs: timeoutMs, metadata, traceparent, idempotencyKey });
      this.#said = { connection, id };
    } catch (error) {
      connection.forget(id);
      throw error;
    }
  }

  #finish(error: ProtogateError | undefined): void {
    if (this.#end !== undefined) return;
    this.#end = { error };
    this.#undoTimer();
    this.#undoSignal();
    const over = error ?? local(Code.FAILED_PRECONDITION, "CLOSED", "the stream has ended", this.route.name);
    for (const waiting of this.#out.splice(0)) waiting.sent(over);
    this.#replied(over);
    for (const reader of this.#readers.splice(0)) {
      if (error === undefined) reader.resolve({ done: true, value: undefined });
      else reader.reject(error);
    }
  }
}
