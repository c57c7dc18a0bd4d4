/**
 * What the gateway says that is no answer: of the session, of topics, of itself, and pushes.
 *
 * Promises: what is said of the session holds before whoever asked for it, or whatever follows it, is heard; a push that was there
 * before is not told again; what came is acknowledged soon.
 */

import type { Clock } from "./clock.js";
import type { Connection } from "./connection.js";
import type { Events } from "./events.js";
import type { Envelope, Reconnect } from "./protogate/wire/v1/wire_pb.js";
import { Standing } from "./standing.js";
import { Topics, type At } from "./topics.js";
import { number, pb, read } from "./wire.js";

/** Whom the client tells of what happens. */
export interface Witness {
  tell<K extends keyof Events>(name: K, value: Events[K]): void;
  push(envelope: Envelope): void;
  /** A topic is to be asked for again. */
  again(topic: string, from: At | undefined): void;
}

/** What follows from what is heard. */
export interface Follow {
  say(protocol: number): void;
  expiring(expiresMs: number): void;
  reconnect(from: Connection, asked: Reconnect): void;
}

/** More than the topics of a session can be. */
const DOUBTFUL_MAX = 4096;

/** How long what came may go without being acknowledged, in the hope that something is said anyway. */
const ACKNOWLEDGE_MS = 200;

export class Hearing {
  readonly standing = new Standing();
  readonly topics = new Topics();
  #undoAcknowledge: (() => void) | undefined;
  /** Topics that may be heard no longer. Of those that are, the gateway says so. */
  readonly #doubtful = new Set<string>();
  readonly #clock: Clock;
  readonly #witness: Witness;
  readonly #follow: Follow;

  constructor(clock: Clock, witness: Witness, follow: Follow) {
    this.#clock = clock;
    this.#witness = witness;
    this.#follow = follow;
  }

  hear(envelope: Envelope, from: Connection): void {
    const { protocol, payload, status } = envelope;
    if (status !== undefined && status.code !== 0) {
      if (protocol === number.UNSUBSCRIBE && envelope.id === 0) this.#unsubscribed(read(pb.UnsubscribeSchema, payload).topic, status.reason);
      else if (envelope.id === 0) this.#witness.push(envelope);
      return;
    }
    switch (protocol) {
      case number.READY:
      case number.REFRESH_TOKEN:
        this.#entered((standing) => standing.ready(read(pb.ReadySchema, payload)));
        break;
      case number.RESUMED: {
        const resumed = read(pb.ResumedSchema, payload);
        const isAnother = this.#entered((standing) => standing.resumed(resumed));
        if (!resumed.recovered) this.#witness.tell("gap", { of: "session" });
        for (const topic of resumed.lostTopics) {
          this.#witness.tell("gap", { of: "topic", topic });
          if (!isAnother && this.#doubtful.size < DOUBTFUL_MAX) this.#doubtful.add(topic);
        }
        break;
      }
      case number.TOKEN_EXPIRING:
        this.#follow.expiring(Number(read(pb.TokenExpiringSchema, payload).expiresMs));
        break;
      case number.RECONNECT:
        this.#follow.reconnect(from, read(pb.ReconnectSchema, payload));
        break;
      case number.SUBSCRIBE:
        this.standing.subscribed(read(pb.SubscribedSchema, payload));
        break;
      case number.UNSUBSCRIBE: {
        const { topic } = read(pb.UnsubscribeSchema, payload);
        // Whoever asked for it knows.
        if (envelope.id === 0) this.#unsubscribed(topic, "");
        else this.standing.unsubscribed(topic);
        break;
      }
      default:
        if (envelope.id === 0 && this.standing.isNew(envelope)) {
          this.#owe();
          this.#witness.push(envelope);
        }
    }
  }

  /** Whether something waits for `settle`. */
  get isInDoubt(): boolean {
    return this.#doubtful.size > 0;
  }

  /** By now the gateway has said of every topic that is heard still that it is. */
  settle(): void {
    const lost = [...this.#doubtful].filter((topic) => !this.standing.hears(topic));
    this.#doubtful.clear();
    for (const topic of lost) {
      if (this.topics.has(topic)) this.#witness.again(topic, undefined);
      else this.#unsubscribed(topic, "LOST");
    }
  }

  /** The session is nobody's any more. */
  nobody(): void {
    const was = this.standing.session;
    this.#doubtful.clear();
    this.topics.note((topic) => this.standing.position(topic));
    this.standing.forget();
    if (was !== undefined) this.#witness.tell("session", undefined);
  }

  /** What is said now acknowledges what came. */
  acknowledge(): number {
    this.quiet();
    return this.standing.acknowledge();
  }

  /** Nothing is to be acknowledged by itself. */
  quiet(): void {
    this.#undoAcknowledge?.();
    this.#undoAcknowledge = undefined;
  }

  #entered(how: (standing: Standing) => boolean): boolean {
    // Another session has no positions of this one's topics.
    this.topics.note((topic) => this.standing.position(topic));
    const isAnother = how(this.standing);
    if (isAnother) this.#doubtful.clear();
    this.#witness.tell("session", this.standing.session);
    if (isAnother) for (const { topic, from } of this.topics.again()) this.#witness.again(topic, from);
    return isAnother;
  }

  #unsubscribed(topic: string, reason: string): void {
    this.standing.unsubscribed(topic);
    this.topics.leave(topic);
    this.#witness.tell("unsubscribed", { topic, reason });
  }

  #owe(): void {
    if (!this.standing.owes || this.#undoAcknowledge !== undefined) return;
    this.#undoAcknowledge = this.#clock.after(ACKNOWLEDGE_MS, () => {
      this.#undoAcknowledge = undefined;
      // A Pong is not answered.
      if (this.standing.owes) this.#follow.say(number.PONG);
    });
  }
}
