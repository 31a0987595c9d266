import type { JobEvent, OfferLoss } from '../domain/job-machine/event.ts';
import { type WorkMessage, workQueueKey } from '../domain/work.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';
import type { Broker } from '../ports/broker.ts';
import type { DueLook } from '../ports/job-store.ts';
import { FitChecks } from './fit-checks.ts';
import type { SchedulingSettings } from './settings.ts';

/** The message of an offer. */
export type OfferName = Pick<WorkMessage, 'jobId' | 'attempt' | 'offeredAt'>;

export interface LookingOptions {
  readonly sessions: Pick<BotSessionStore, 'offers'>;
  readonly broker: Pick<Broker, 'findLost'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** What becomes of a job whose message is gone. */
  readonly lostWork: SchedulingSettings['lostWork'];
  /** Applies an event to a job, and carries out what follows. */
  readonly apply: (jobId: string, event: JobEvent) => Promise<unknown>;
  /** The message of a job that waits is gone. */
  readonly loseOffer: (offer: OfferName, loss: OfferLoss) => Promise<void>;
}

/** How long after an offer its message is looked for, in milliseconds: carriers tell what was true a second ago. */
const OFFER_SEEN_AFTER = 2_000;

/** Jobs that are changed at the same time. */
const CONCURRENT_CHANGES = 32;

/**
 * Looks at what waits: whether any bot fits, and whether the message of the offer is still there. Messages are hints, and
 * may be gone: a queue is purged or deleted, a broker comes back without them.
 *
 * Both are questions about a queue, asked once for all of its jobs that are looked at together. Of most jobs in a long
 * queue there is nothing to note, since what brought up the look has put off the next one.
 */
export class Looking {
  readonly #options: LookingOptions;
  readonly #fitChecks: FitChecks;
  readonly #never = new AbortController().signal;

  constructor(options: LookingOptions) {
    this.#options = options;
    this.#fitChecks = new FitChecks(options.sessions, options.clock);
  }

  /** What fails is logged, and comes up again with the next look. */
  async lookAt(looks: readonly DueLook[]): Promise<void> {
    const queues = new Map<string, DueLook[]>();
    for (const look of looks) {
      const key = workQueueKey(look.queue);
      const same = queues.get(key);
      if (same === undefined) queues.set(key, [look]);
      else same.push(look);
    }
    await Promise.all([...queues.values()].map((same) => this.#guard(() => this.#lookAtQueue(same))));
  }

  async #lookAtQueue(looks: readonly DueLook[]): Promise<void> {
    const [first] = looks;
    if (first === undefined) return;
    const { broker, lostWork, loseOffer } = this.#options;
    const grace = Math.min(...looks.map((each) => each.unservedGrace));
    const unmet = await this.#fitChecks.unmet(first.queue, grace, this.#never);
    await this.#each(unmet === undefined ? looks.filter((each) => each.wasUnserved) : looks, ({ jobId }) =>
      this.#options.apply(jobId, { type: 'fit', unmet }),
    );
    if (unmet !== undefined) return;
    const seen = looks.filter(({ offeredFor }) => offeredFor >= OFFER_SEEN_AFTER);
    if (seen.length === 0) return;
    await this.#each(await broker.findLost(first.queue, seen, this.#never), (each) => loseOffer(each, lostWork));
  }

  async #each(looks: readonly DueLook[], change: (look: DueLook) => Promise<unknown>): Promise<void> {
    await mapConcurrently(looks, CONCURRENT_CHANGES, this.#never, (look) => this.#guard(() => change(look)));
  }

  async #guard(task: () => Promise<unknown>): Promise<void> {
    try {
      await task();
    } catch (cause) {
      this.#options.logger.error({ err: cause }, 'could not look at what waits; it comes up again');
    }
  }
}
