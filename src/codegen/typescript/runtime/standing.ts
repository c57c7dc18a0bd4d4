/**
 * What a client knows of its session: enough to acknowledge what came, to know what comes twice, and to resume.
 */

import type { Envelope, Position, Ready, Resume, Resumed, Subscribed } from "./protogate/wire/v1/wire_pb.js";

/** Topics whose positions are kept. Of those beyond, nothing is recovered. */
const TOPICS_MAX = 4096;

/** Who the client is. */
export interface Session {
  readonly id: string;
  readonly user: string;
  readonly roles: readonly string[];
  /** When the identity ends, in milliseconds since 1970. */
  readonly expiresMs: number;
}

export class Standing {
  session: Session | undefined;
  #resumeToken = "";
  #resumeUrl = "";
  #lastSeq = 0;
  #acknowledged = 0;
  readonly #positions = new Map<string, { epoch: string; offset: bigint }>();

  /** The connection is in a session. True if it is another one, in which everything begins anew. */
  ready(ready: Ready): boolean {
    const isAnother = ready.sessionId !== this.session?.id;
    if (isAnother) this.forget();
    this.session = { id: ready.sessionId, user: ready.user, roles: ready.roles, expiresMs: Number(ready.expiresMs) };
    // A refresh in place has none; the one before is good.
    if (ready.resumeToken !== "") {
      this.#resumeToken = ready.resumeToken;
      this.#resumeUrl = ready.resumeUrl;
    }
    return isAnother;
  }

  /** What came of resuming. True if it is another session. */
  resumed(resumed: Resumed): boolean {
    const isAnother = resumed.ready !== undefined && this.ready(resumed.ready);
    this.#acknowledged = this.#lastSeq;
    if (!resumed.recovered) {
      // What comes next has whatever seq it has.
      this.#lastSeq = this.#acknowledged = 0;
    }
    for (const topic of resumed.lostTopics) this.#positions.delete(topic);
    return isAnother;
  }

  /** Nobody any more. */
  forget(): void {
    this.session = undefined;
    this.#resumeToken = this.#resumeUrl = "";
    this.#lastSeq = this.#acknowledged = 0;
    this.#positions.clear();
  }

  /** Whether a push was not there before. Its place is remembered. */
  isNew(push: Envelope): boolean {
    if (push.seq !== 0) {
      if (push.seq <= this.#lastSeq) return false;
      this.#lastSeq = push.seq;
    }
    const at = this.#positions.get(push.topic);
    if (push.topic === "" || at === undefined || push.offset === 0n) return true;
    const isSameHistory = push.epoch === "" || push.epoch === at.epoch;
    if (isSameHistory && push.offset <= at.offset) return false;
    at.offset = push.offset;
    if (!isSameHistory) at.epoch = push.epoch;
    return true;
  }

  subscribed(subscribed: Subscribed): void {
    if (this.#positions.has(subscribed.topic) || this.#positions.size < TOPICS_MAX) {
      this.#positions.set(subscribed.topic, { epoch: subscribed.at?.epoch ?? "", offset: subscribed.at?.offset ?? 0n });
    }
  }

  unsubscribed(topic: string): void {
    this.#positions.delete(topic);
  }

  /** Whether the gateway has said that the session hears it. */
  hears(topic: string): boolean {
    return this.#positions.has(topic);
  }

  /** Where a topic was left, if it has a history. */
  position(topic: string): { readonly epoch: string; readonly offset: bigint } | undefined {
    const at = this.#positions.get(topic);
    return at === undefined || at.epoch === "" ? undefined : { ...at };
  }

  /** Whether the gateway keeps something for us that it need not. */
  get owes(): boolean {
    return this.#acknowledged < this.#lastSeq;
  }

  /** What the next message acknowledges; once it is said nothing is owed. */
  acknowledge(): number {
    return (this.#acknowledged = this.#lastSeq);
  }

  get resumable(): boolean {
    return this.#resumeToken !== "";
  }

  /** Where to resume, if not at the same place. */
  get resumeUrl(): string | undefined {
    return this.#resumeUrl || undefined;
  }

  /** How to go on with this session. */
  resume(token: string | undefined): Omit<Resume, "$typeName" | "topics"> & { topics: { [topic: string]: Omit<Position, "$typeName"> } } {
    const topics = Object.fromEntries(this.#positions);
    return { token: token ?? "", resumeToken: this.#resumeToken, lastSeq: this.#lastSeq, topics };
  }
}
