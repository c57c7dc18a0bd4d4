/**
 * One connection after the other: each is made, entered, lost and, if its end allows, replaced.
 *
 * Promises: what the close code says is done, and never in a hurry twice; a gateway that goes away is left before it closes, and answers
 * what it was asked; what was not said waits, what was said is not said again unless that does no harm.
 */

import { Backoff } from "./backoff.js";
import { realClock, type Clock } from "./clock.js";
import { Connection, type Lost } from "./connection.js";
import { ask, enter } from "./entry.js";
import type { State } from "./events.js";
import { Code, late, local, type ProtogateError } from "./failure.js";
import { Hearing, type Witness } from "./hearing.js";
import type { Options } from "./options.js";
import type { Hello, Reconnect } from "./protogate/wire/v1/wire_pb.js";
import type { Queue } from "./queue.js";
import { Refresh } from "./refresh.js";
import { hostSocket, isAsSafe } from "./socket.js";
import type { Standing } from "./standing.js";
import type { Topics } from "./topics.js";
import { verdict } from "./verdict.js";
import { control } from "./wire.js";

const CONNECT_TIMEOUT_MS = 10_000;
/** A connection that lasted so long was good, and the next pause is the first again. */
const GOOD_MS = 5_000;
/** How long the old connection's calls may keep a session from being resumed. Gateways give those that go about as long. */
const ANSWERS_MS = 15_000;
/** Connections that were left and answer what they were asked. Of one more, the first is given up. */
const LEAVING_MAX = 4;

const BAD_TOKEN = 4500;

export class Life {
  readonly standing: Standing;
  readonly topics: Topics;
  readonly clock: Clock;
  state: State = "idle";
  hello: Hello | undefined;
  /** Counts lives: what belongs to an earlier one does nothing. */
  #life = 0;
  #opening: Connection | undefined;
  #current: Connection | undefined;
  readonly #leaving = new Set<Connection>();
  #ended: Lost | undefined;
  #hurry: (() => void) | undefined;
  /** Ends the wait for a token. */
  readonly #impatient = new Set<() => void>();
  #ready: { resolve(): void; reject(error: unknown): void }[] = [];
  #slot: { readonly connection: Connection; readonly asked: Reconnect; due(): void } | undefined;
  #onSlot: (() => void) | undefined;
  /** Whether the last connection was told who the client is. */
  #hasShown = false;
  readonly #options: Options;
  readonly #queue: Queue;
  readonly #witness: Witness;
  readonly #backoff: Backoff;
  readonly #refresh: Refresh;
  readonly #hearing: Hearing;
  readonly #timeoutMs: number;

  constructor(options: Options, queue: Queue, witness: Witness) {
    this.#options = options;
    this.#queue = queue;
    this.#witness = witness;
    this.clock = options.clock ?? realClock;
    this.#hearing = new Hearing(this.clock, witness, {
      say: (protocol) => this.#current?.say({ protocol }),
      expiring: (expiresMs) => this.#expiring(expiresMs),
      reconnect: (from, asked) => this.#reconnect(from, asked),
    });
    this.standing = this.#hearing.standing;
    this.topics = this.#hearing.topics;
    const pauses = { firstMs: options.firstMs ?? 500, capMs: options.capMs ?? 15_000 };
    this.#backoff = new Backoff(this.clock, pauses);
    this.#refresh = new Refresh(this.clock, new Backoff(this.clock, pauses), () => this.#renew());
    this.#timeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  }

  connect(): Promise<void> {
    if (this.state === "ready") return Promise.resolve();
    const ready = new Promise<void>((resolve, reject) => this.#ready.push({ resolve, reject }));
    if (this.state === "closed") this.#become("idle");
    this.wake();
    this.#hurry?.();
    return ready;
  }

  /** Something waits: lets it go, or connects for it. */
  wake(): void {
    if (this.#current !== undefined) this.#queue.flow(this.#current);
    if (this.state !== "idle") return;
    this.#life += 1;
    this.#backoff.reset();
    this.#become("connecting");
    this.#live(this.#life).catch((error: unknown) => this.#broken(error));
  }

  close(): void {
    this.#life += 1;
    this.#ended = { code: 1000, why: "the client was closed", goodbye: undefined, again: [] };
    const all = [this.#opening, this.#current, ...this.#leaving];
    this.#opening = this.#current = undefined;
    this.#leaving.clear();
    for (const connection of all) connection?.lose(1000, "the client was closed");
    this.#hurry?.();
    this.#onSlot?.();
    this.#refresh.hurry();
    for (const over of this.#impatient) over();
    this.#hearing.nobody();
    this.#finish("closed");
  }

  /** Why nothing can be said any more. */
  over(route?: string): ProtogateError {
    const { code = 0, why = "", goodbye } = this.#ended ?? {};
    const reason = goodbye?.reason || (code === 1000 ? "CLOSED" : "ENDED");
    return local(Code.FAILED_PRECONDITION, reason, `the connection has ended for good: ${why} (${code})`, route);
  }

  /** Whether another connection is made while the last one is still there. */
  get isMoving(): boolean {
    return this.#leaving.size > 0;
  }

  /** A call has ended the session. */
  left(): void {
    this.#hearing.nobody();
  }

  refresh(): Promise<void> {
    const life = this.#life;
    return this.#refresh.run(() => life !== this.#life);
  }

  async #live(life: number): Promise<void> {
    let url: string | undefined;
    for (;;) {
      const connection = await this.#establish(life, url);
      if (life !== this.#life) {
        if (!(connection instanceof Connection)) return this.#give(connection);
        connection.lose(1000, "the client was closed");
        return this.#give(await connection.ended);
      }
      url = undefined;
      let lost: Lost;
      if (connection instanceof Connection) {
        const since = this.clock.now();
        const slot = new Promise<undefined>((resolve) => (this.#onSlot = () => resolve(undefined)));
        const ended = await Promise.race([connection.ended, slot]);
        if (life !== this.#life) return this.#give(ended);
        if (this.clock.now() - since >= GOOD_MS) this.#backoff.reset();
        if (this.#current === connection) this.#current = undefined;
        if (ended === undefined) {
          // Its turn to leave has come: calls wait for the next one, and it answers those that it has.
          url = this.#slot?.asked.url || undefined;
          this.#leave(connection, life);
          if (!(await this.#pause(life, true))) return;
          this.#become("connecting");
          continue;
        }
        lost = ended;
      } else {
        lost = connection;
      }
      this.#queue.again(lost.again);
      if (!(await this.#mayGoOn(lost, life))) return;
      this.#become("connecting");
    }
  }

  /** Another connection that is the client's, or how that failed. */
  async #establish(life: number, named: string | undefined): Promise<Connection | Lost> {
    const token = await this.#token();
    if (life !== this.#life || token instanceof Error) return failed(token instanceof Error ? token.message : "");
    const own = this.#options.url;
    // What the gateway named may be gone with it.
    const other = named ?? (this.#backoff.tries % 2 === 0 ? this.standing.resumeUrl : undefined);
    const url = other !== undefined && isAsSafe(other, own) ? other : own;
    let connection: Connection;
    try {
      const webSocket = this.#options.webSocket ?? hostSocket();
      const door = { url, webSocket, clock: this.clock, timeoutMs: this.#timeoutMs };
      connection = this.#opening = new Connection({
        ...door,
        acknowledge: () => this.#hearing.acknowledge(),
        hear: (envelope, from) => this.#hearing.hear(envelope, from),
        freed: (from) => from === this.#current && this.#queue.flow(from),
      });
    } catch (error) {
      // Our own address, or such a constructor, will not do the next time either.
      return url === own ? { ...failed(String(error)), code: 0 } : failed(String(error));
    }
    if (!(await connection.greeted)) return connection.ended;
    if (life !== this.#life) return connection;
    this.hello = connection.hello;
    this.#hasShown = token !== undefined || this.standing.resumable;
    await this.#answered();
    try {
      const shown = { token, standing: this.standing, options: this.#options, clock: this.clock, timeoutMs: this.#timeoutMs };
      const before = this.standing.session;
      await enter(connection, shown);
      if (before !== undefined && this.standing.session === undefined) this.#witness.tell("session", undefined);
    } catch (error) {
      // If the gateway ends it because of that, its code says what to do.
      let undo = () => {};
      const ending = new Promise<Lost>((resolve) => (undo = this.clock.after(1_000, () => resolve(failed(String(error))))));
      const lost = await Promise.race([connection.ended, ending]);
      undo();
      connection.lose(1000, "it was refused");
      return lost;
    }
    if (life !== this.#life || !connection.isOpen) return connection.isOpen ? connection : connection.ended;
    for (const old of this.#leaving) old.isLeaving = true;
    this.#current = connection;
    this.#become("ready");
    for (const { resolve } of this.#ready.splice(0)) resolve();
    this.#queue.flow(connection);
    void this.#settle(connection);
    return connection;
  }

  /** Whatever is heard still is said before this is answered. */
  async #settle(connection: Connection): Promise<void> {
    if (!this.#hearing.isInDoubt) return;
    try {
      await ask(connection, control.ping, {}, { clock: this.clock, timeoutMs: this.#timeoutMs });
    } catch {
      // It has ended, and the next one is asked.
      return;
    }
    this.#hearing.settle();
  }

  /** Waits until a session may be taken from the old connection, which ends it: its calls come first. */
  async #answered(): Promise<void> {
    const old = [...this.#leaving];
    if (old.length === 0 || !this.standing.resumable) return;
    const patience = Math.min(ANSWERS_MS, (this.hello?.authTimeoutMs ?? 0) / 2 || ANSWERS_MS);
    let undo = () => {};
    const enough = new Promise<void>((resolve) => (undo = this.clock.after(patience, resolve)));
    await Promise.race([Promise.all(old.map((connection) => connection.idle())), enough]);
    undo();
  }

  #leave(connection: Connection, life: number): void {
    this.#slot = undefined;
    const [first] = this.#leaving;
    if (first !== undefined && this.#leaving.size >= LEAVING_MAX) first.lose(1000, "it was left for too many others");
    this.#leaving.add(connection);
    void connection.ended.then((lost) => {
      this.#leaving.delete(connection);
      if (life !== this.#life) return this.#give(lost);
      this.#queue.again(lost.again);
      if (this.#current !== undefined) this.#queue.flow(this.#current);
    });
  }

  /** What the end of a connection says of the next one. False: there is none. */
  async #mayGoOn(lost: Lost, life: number): Promise<boolean> {
    const { goodbye } = lost;
    const what = verdict(lost.code);
    const isIdle = lost.code === BAD_TOKEN && !this.#hasShown;
    if (what === "never" || this.#backoff.tries >= (this.#options.triesMax ?? Infinity)) {
      this.#ended = lost;
      // Nobody said who they are for a while: there is nothing wrong with that.
      this.#finish(isIdle ? "idle" : "closed");
      if (isIdle && (!this.#queue.isEmpty || this.#ready.length > 0)) this.wake();
      return false;
    }
    if (goodbye?.canResume === false && this.standing.resumable) this.#hearing.nobody();
    return this.#pause(life, what !== "back off", goodbye?.retryAfterMs);
  }

  /** Waits before another connection, unless this is the first in a while and may be at once. False: that life is over. */
  async #pause(life: number, atOnce: boolean, askedMs = 0): Promise<boolean> {
    if (this.#backoff.tries === 0 && atOnce && askedMs === 0) {
      this.#backoff.skip();
      return true;
    }
    this.#become("waiting");
    const pause = this.#backoff.next(askedMs);
    await new Promise<void>((resolve) => {
      const undo = this.clock.after(pause, resolve);
      this.#hurry = () => {
        undo();
        resolve();
      };
    });
    this.#hurry = undefined;
    return life === this.#life;
  }

  /** The gateway goes away, and says when this client's turn is. Until then everything goes on. */
  #reconnect(connection: Connection, asked: Reconnect): void {
    if (connection !== this.#current || this.#slot?.connection === connection) return;
    const due = () => {
      if (this.#slot?.connection !== connection || this.#current !== connection) return;
      if (!asked.canResume && this.standing.resumable) this.#hearing.nobody();
      this.#onSlot?.();
    };
    this.#slot = { connection, asked, due };
    const undo = this.clock.after(asked.delayMs, due);
    void connection.ended.then(undo);
  }

  #expiring(expiresMs: number): void {
    if (this.#options.token === undefined) this.#witness.tell("expiring", { expiresMs });
    else this.refresh().catch((error: unknown) => this.#witness.tell("error", error));
  }

  async #renew(): Promise<void> {
    const [token, connection] = [await this.#token(), this.#current];
    if (token instanceof Error) throw token;
    if (token === undefined || connection === undefined) return;
    const patience = { clock: this.clock, timeoutMs: this.#timeoutMs };
    if (this.standing.session === undefined) await ask(connection, control.authenticate, { token }, patience);
    else await ask(connection, control.refresh, { token }, patience);
  }

  /** What the program says who it is. It may take only so long. */
  async #token(): Promise<string | undefined | Error> {
    const life = this.#life;
    let undo = () => {};
    try {
      const slow = new Promise<never>((_, reject) => {
        const undoTimer = this.clock.after(this.#timeoutMs, () => reject(late("token()", false)));
        const over = () => reject(this.over());
        this.#impatient.add(over);
        undo = () => {
          undoTimer();
          this.#impatient.delete(over);
        };
      });
      return (await Promise.race([this.#options.token?.(), slow])) || undefined;
    } catch (error) {
      if (life === this.#life) this.#witness.tell("error", error);
      // A session may go on without.
      return this.standing.resumable ? undefined : error instanceof Error ? error : new Error(String(error));
    } finally {
      undo();
    }
  }

  #finish(state: "idle" | "closed"): void {
    this.#hearing.quiet();
    this.#become(state);
    if (state === "idle") return;
    for (const { reject } of this.#ready.splice(0)) reject(this.over());
    this.#queue.reject((route) => this.over(route));
  }

  /** What would have been said again is not, because the client was closed. */
  #give(lost: Lost | undefined): void {
    for (const one of lost?.again ?? []) one.reject(this.over());
  }

  /** We are wrong. */
  #broken(error: unknown): void {
    this.#witness.tell("error", error);
    this.#ended = { ...failed(String(error)), code: 0 };
    this.#finish("closed");
  }

  #become(state: State): void {
    if (this.state === state) return;
    this.state = state;
    this.#witness.tell("state", state);
  }
}

function failed(why: string): Lost {
  return { code: 1006, why, goodbye: undefined, again: [] };
}
