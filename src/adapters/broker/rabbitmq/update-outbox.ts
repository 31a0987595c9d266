import type { Clock, Timer } from '../../../lib/clock.ts';
import type { ReplicaUpdate } from '../../../ports/broker.ts';

export interface UpdateOutboxOptions {
  readonly clock: Clock;
  /** Sends updates to replicas, in one message. */
  readonly send: (replicaIds: readonly string[], updates: readonly ReplicaUpdate[]) => void;
}

/** Updates that go together at most; the receiver reads a record for each. */
export const MOST_UPDATES_TOGETHER = 100;

/** What waits to go to the same replicas. */
interface Letter {
  readonly replicaIds: readonly string[];
  /** By what they are about: of two on one subject the younger says all. */
  readonly updates: Map<string, ReplicaUpdate>;
  timer: Timer | undefined;
}

/**
 * Makes few messages of many updates: a message costs sender, broker and receiver more than what it says.
 *
 * What is urgent leaves with the end of the turn of the event loop, and takes along whatever waits for the same replicas.
 * What has patience waits for such company, no longer than it has patience.
 */
export class UpdateOutbox {
  readonly #options: UpdateOutboxOptions;
  /** By the replicas that they are for. */
  readonly #letters = new Map<string, Letter>();
  readonly #leaving = new Set<Letter>();

  constructor(options: UpdateOutboxOptions) {
    this.#options = options;
  }

  /** @param patience how long it may wait for others, in milliseconds. */
  add(replicaIds: readonly string[], update: ReplicaUpdate, patience: number): void {
    const key = replicaIds.join('\n');
    let letter = this.#letters.get(key);
    if (letter === undefined) this.#letters.set(key, (letter = { replicaIds, updates: new Map(), timer: undefined }));
    letter.updates.set(subjectOf(update), update);
    if (letter.updates.size >= MOST_UPDATES_TOGETHER) this.#send(letter);
    else if (patience <= 0) this.#sendSoon(letter);
    else letter.timer ??= this.#setTimer(letter, patience);
  }

  /** Sends all that waits. */
  flush(): void {
    for (const letter of this.#letters.values()) this.#send(letter);
  }

  #setTimer(letter: Letter, patience: number): Timer {
    return this.#options.clock.setTimer(patience, () => this.#send(letter));
  }

  #sendSoon(letter: Letter): void {
    if (this.#leaving.size === 0) {
      setImmediate(() => {
        const leaving = [...this.#leaving];
        this.#leaving.clear();
        for (const each of leaving) this.#send(each);
      });
    }
    this.#leaving.add(letter);
  }

  #send(letter: Letter): void {
    const key = letter.replicaIds.join('\n');
    // Gone already, with its last update or with all that waited.
    if (this.#letters.get(key) !== letter) return;
    this.#letters.delete(key);
    letter.timer?.cancel();
    this.#options.send(letter.replicaIds, [...letter.updates.values()]);
  }
}

function subjectOf(update: ReplicaUpdate): string {
  switch (update.kind) {
    case 'job-changed':
      return `job ${update.jobId}`;
    case 'lease-ended':
      return `lease ${update.leaseId} ${update.botSessionName}`;
    case 'poll-superseded':
      return `poll ${update.pollId} ${update.botSessionName}`;
    case 'updates-lost':
      return 'updates';
  }
}
