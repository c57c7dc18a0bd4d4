/**
 * Topics that the program asked for itself. A session that comes back hears them still; another session has to ask again, which is done
 * here, from where each was left.
 */

/** A place in a topic's history. */
export interface At {
  readonly epoch: string;
  readonly offset: bigint;
}

export class Topics {
  readonly #wanted = new Set<string>();
  /** Where topics were left when their session was lost. */
  readonly #left = new Map<string, At>();

  want(topic: string): void {
    this.#wanted.add(topic);
  }

  has(topic: string): boolean {
    return this.#wanted.has(topic);
  }

  leave(topic: string): void {
    this.#wanted.delete(topic);
    this.#left.delete(topic);
  }

  /** Remembers where each is, before what knows it forgets. */
  note(position: (topic: string) => At | undefined): void {
    for (const topic of this.#wanted) {
      const at = position(topic);
      if (at !== undefined) this.#left.set(topic, at);
    }
  }

  /** What has to be asked for in another session. */
  *again(): Generator<{ readonly topic: string; readonly from: At | undefined }> {
    for (const topic of [...this.#wanted]) {
      const from = this.#left.get(topic);
      this.#left.delete(topic);
      yield { topic, from };
    }
  }
}
