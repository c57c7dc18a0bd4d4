/**
 * A gateway, as long as a program uses it: one connection after the other, one session over all of them.
 *
 * How a connection comes to be, is lost and is replaced stands in `life`; here is what a program says and hears.
 */

import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { Call, unreadable } from "./calls.js";
import type { Connection } from "./connection.js";
import { Listeners, type Events, type State } from "./events.js";
import { Code, local, refused, type ProtogateError } from "./failure.js";
import { Life } from "./life.js";
import type { CallOptions, Options } from "./options.js";
import type { Envelope, Hello, Subscribed } from "./protogate/wire/v1/wire_pb.js";
import { Queue, type Waiting } from "./queue.js";
import type { Push, Route } from "./route.js";
import type { Session } from "./standing.js";
import { Stream, type BidiStream, type ClientStream, type ServerStream } from "./stream.js";
import type { At } from "./topics.js";
import { APPLICATION_MIN, control, payload, read } from "./wire.js";

/** What came with a push. */
export interface Told {
  /** Of the session's own. 0: best effort. */
  readonly seq: number;
  /** Empty: to the user, not to a topic. */
  readonly topic: string;
  readonly epoch: string;
  readonly offset: bigint;
  /** So many of its kind just before it were lost. */
  readonly dropped: number;
}

type AnyRoute = Route<DescMessage, DescMessage>;
type Pushes = { [number: number]: Envelope };

const TIMEOUT_MS = 30_000;
const QUEUE_MAX = 256;

export class Gateway {
  readonly #options: Options;
  readonly #events: Listeners<Events>;
  readonly #pushes: Listeners<Pushes>;
  readonly #queue: Queue;
  readonly #life: Life;

  constructor(options: Options) {
    this.#options = options;
    // With nobody else to tell, the console is told.
    const failed = (error: unknown) => (this.#events.has("error") ? this.#events.tell("error", error) : complain(error));
    this.#events = new Listeners((error) => complain(error));
    this.#pushes = new Listeners(failed);
    this.#queue = new Queue(options.queueMax ?? QUEUE_MAX);
    this.#life = new Life(options, this.#queue, {
      tell: (name, value) => (name === "error" ? failed(value) : this.#events.tell(name, value)),
      push: (envelope) => this.#push(envelope, failed),
      // The connection has only just begun, whatever calls of the program do then.
      again: (topic, from) => void this.#hear(topic, from, { whenDisconnected: "wait" }).catch(failed),
    });
  }

  /** `idle`, `connecting`, `ready`, `waiting` or `closed`. */
  get state(): State {
    return this.#life.state;
  }

  /** Who the client is, if the gateway knows. */
  get session(): Session | undefined {
    return this.#life.standing.session;
  }

  /** What the gateway said of itself and of its limits, when the last connection began. */
  get hello(): Hello | undefined {
    return this.#life.hello;
  }

  /** Whether the gateway offers what the program was generated from. One that differs may answer otherwise than the types say. */
  get catalogue(): "same" | "differs" | "unknown" {
    const { hello } = this.#life;
    if (hello === undefined || this.#options.catalogue === undefined) return "unknown";
    return hello.catalogueHash === this.#options.catalogue ? "same" : "differs";
  }

  /** Resolves when there is a connection; rejects when there will be none without another `connect`. While it pauses, it tries at once. */
  connect(): Promise<void> {
    return this.#life.connect();
  }

  /** Leaves. Whatever is not answered is rejected; the session is not come back to. */
  close(): void {
    this.#life.close();
  }

  /** Hears a push, or what becomes of the client. What it returns ends that. Push listeners are best there before `connect`. */
  on<M extends DescMessage>(push: Push<M>, listener: (message: MessageShape<M>, told: Told) => void): () => void;
  on<K extends keyof Events>(event: K, listener: (value: Events[K]) => void): () => void;
  on<M extends DescMessage>(what: Push<M> | keyof Events, listener: (value: never, told: Told) => void): () => void {
    if (typeof what === "string") return this.#events.add(what, listener as (value: Events[keyof Events]) => void);
    return this.#pushes.add(what.number, (envelope) => {
      const { seq, topic, epoch, offset, dropped } = envelope;
      return listener(read(what.message, envelope.payload) as never, { seq, topic, epoch, offset, dropped });
    });
  }

  /** Calls a route, and is answered once. */
  async call<I extends DescMessage, O extends DescMessage>(
    route: Route<I, O, "unary">,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<MessageShape<O>> {
    const call = this.#begin(route, request, options);
    this.#wait(call, options);
    const bytes = await call.answer;
    if (route.leaves === true) this.#life.left();
    try {
      return read(route.output, bytes);
    } catch (error) {
      throw unreadable(route.name, error);
    }
  }

  /** Calls a route that answers only failures. Resolves when it is said; a failure is told as `error`. */
  async tell<I extends DescMessage, O extends DescMessage>(
    route: Route<I, O, "silent">,
    request: MessageInitShape<I>,
    options: CallOptions = {},
  ): Promise<void> {
    const bytes = payload(route.input, request);
    const call = this.#begin(route, request, options);
    const { metadata = {}, traceparent = "", idempotencyKey = "" } = options;
    const said: Waiting = {
      isCall: true,
      get isSettled() {
        return call.isSettled;
      },
      route,
      start: (connection: Connection) => {
        try {
          if (!call.isSettled) connection.say({ protocol: route.number, payload: bytes, metadata, traceparent, idempotencyKey });
          call.done();
        } catch (error) {
          call.reject(error as never);
        }
      },
      reject: (error) => call.reject(error),
    };
    this.#wait(said, options);
    await call.answer;
  }

  /** Opens a stream. */
  open<I extends DescMessage, O extends DescMessage>(
    route: Route<I, O, "server_stream">,
    request: MessageInitShape<I>,
    options?: CallOptions,
  ): ServerStream<O>;
  open<I extends DescMessage, O extends DescMessage>(route: Route<I, O, "client_stream">, options?: CallOptions): ClientStream<I, O>;
  open<I extends DescMessage, O extends DescMessage>(route: Route<I, O, "bidi">, options?: CallOptions): BidiStream<I, O>;
  open(route: AnyRoute, first?: unknown, second?: CallOptions): unknown {
    const takesOne = route.kind === "server_stream";
    const options = ((takesOne ? second : first) ?? {}) as CallOptions;
    const stream = new Stream(route, options, this.#patience(options), this.#life.clock);
    if (takesOne) stream.send(first as MessageInitShape<DescMessage>).catch((error: unknown) => stream.reject(error as ProtogateError));
    this.#wait(stream, options);
    return stream;
  }

  /** Hears a topic, from a place in its history or from now on. What the gateway answers was heard before any push of the topic. */
  async subscribe(topic: string, from?: At): Promise<Subscribed> {
    return this.#hear(topic, from);
  }

  async unsubscribe(topic: string): Promise<void> {
    this.#life.topics.leave(topic);
    await this.call(control.unsubscribe, { topic });
  }

  /** Where a topic is, for a program that keeps it for later. */
  position(topic: string): At | undefined {
    return this.#life.standing.position(topic);
  }

  /** Shows the gateway the token that `token()` gives now. */
  refresh(): Promise<void> {
    return this.#life.refresh();
  }

  async #hear(topic: string, from: At | undefined, options: CallOptions = {}): Promise<Subscribed> {
    const subscribed = await this.call(control.subscribe, from === undefined ? { topic } : { topic, from }, options);
    this.#life.topics.want(topic);
    if (from !== undefined && !subscribed.recovered) this.#events.tell("gap", { of: "topic", topic });
    return subscribed;
  }

  #begin(route: AnyRoute, request: unknown, options: CallOptions): Call {
    return new Call(route, payload(route.input, request as MessageInitShape<DescMessage>), options, this.#patience(options), this.#life.clock);
  }

  #patience(options: CallOptions): number {
    return options.timeoutMs ?? this.#options.timeoutMs ?? TIMEOUT_MS;
  }

  #wait(one: Waiting, options: CallOptions): void {
    const policy = options.whenDisconnected ?? this.#options.whenDisconnected ?? "wait";
    if (this.state === "closed") one.reject(this.#life.over(one.route.name));
    else if (policy === "fail" && this.state !== "ready" && !this.#life.isMoving) {
      one.reject(local(Code.UNAVAILABLE, "DISCONNECTED", "there is no connection now", one.route.name));
      // Those that follow find one.
      this.#life.wake();
    } else {
      this.#queue.push(one);
      this.#life.wake();
    }
  }

  #push(envelope: Envelope, failed: (error: unknown) => void): void {
    if (envelope.protocol < APPLICATION_MIN) return;
    if (envelope.status !== undefined) failed(refused(envelope.status, String(envelope.protocol)));
    else this.#pushes.tell(envelope.protocol, envelope);
  }
}

function complain(error: unknown): void {
  (globalThis as unknown as { console?: { error(...what: unknown[]): void } }).console?.error("protogate:", error);
}
