import { type WorkQueueName, workQueueKey } from '../domain/work.ts';
import type { Clock } from '../lib/clock.ts';
import { LruMap } from '../lib/lru-map.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';
import { describeUnmet } from './fit-check.ts';

/** How old an answer may be, in milliseconds: what many jobs of one queue ask at a time is found out once. */
const ANSWER_LIFE = 1_000;

/** The same as a part of the grace that a job has: a short one bears no old answers. */
const ANSWER_LIFE_IN_GRACES = 0.1;

/** Queues whose answers are kept. */
const ANSWERS_KEPT = 10_000;

interface Answer {
  readonly askedAt: number;
  readonly unmet: Promise<string | undefined>;
}

/** Finds out whether any live bot covers what jobs ask for. */
export class FitChecks {
  readonly #sessions: Pick<BotSessionStore, 'offers'>;
  readonly #clock: Clock;
  /** By queue. */
  readonly #answers = new LruMap<string, Answer>(ANSWERS_KEPT);

  constructor(sessions: Pick<BotSessionStore, 'offers'>, clock: Clock) {
    this.#sessions = sessions;
    this.#clock = clock;
  }

  /**
   * What no bot has of a queue's requirement, in words; undefined when some bot covers it.
   *
   * @param grace how long a job waits for one that does, in milliseconds.
   */
  async unmet(queue: WorkQueueName, grace: number, signal: AbortSignal): Promise<string | undefined> {
    const key = workQueueKey(queue);
    const now = this.#clock.monotonic();
    const life = Math.min(ANSWER_LIFE, grace * ANSWER_LIFE_IN_GRACES);
    let answer = this.#answers.get(key);
    if (answer === undefined || now - answer.askedAt >= life) {
      answer = { askedAt: now, unmet: this.#find(queue, signal) };
      answer.unmet.catch(() => this.#answers.delete(key));
      this.#answers.set(key, answer);
    }
    return await answer.unmet;
  }

  async #find({ requirement, instanceName }: WorkQueueName, signal: AbortSignal): Promise<string | undefined> {
    return describeUnmet(requirement, instanceName, await this.#sessions.offers(instanceName, signal));
  }
}
