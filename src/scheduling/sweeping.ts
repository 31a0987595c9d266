import type { Clock, Timer } from '../lib/clock.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import { mapConcurrently } from '../lib/semaphore.ts';
import type { JobStore } from '../ports/job-store.ts';
import type { BotSessions } from './bot-sessions.ts';
import type { EffectRunner } from './effect-runner.ts';
import type { SchedulingSettings } from './settings.ts';
import type { WatchHub } from './watch-hub.ts';

export interface SweepingOptions {
  readonly jobs: JobStore;
  readonly botSessions: BotSessions;
  readonly effects: EffectRunner;
  readonly hub: WatchHub;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly settings: SchedulingSettings;
}

/** How many are taken from the store in one call. */
const BATCH = 500;

/** Jobs that are looked at at the same time: one after the other a farm with many would never be done. */
const CONCURRENT_TICKS = 32;

/** Batches in one sweep: one that can't keep up lets others have the processor, and goes on at the next. */
const BATCHES_PER_SWEEP = 20;

/**
 * Looks for deadlines that have passed: of leases, sessions, queueing, running, abandonment, retention. Any replica
 * sweeps for all; what is due is handed to one of them.
 */
export class Sweeping implements Service {
  readonly name = 'sweeps';
  readonly #options: SweepingOptions;
  readonly #never = new AbortController().signal;
  #timer: Timer | undefined;
  #running: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: SweepingOptions) {
    this.#options = options;
  }

  async start(_signal: AbortSignal): Promise<void> {
    this.#arm();
  }

  async stop(_force: AbortSignal): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#running;
  }

  /** One sweep. What fails in it is logged and comes up again; the rest is done all the same. */
  async sweep(): Promise<void> {
    await this.#guard('bot sessions', () => this.#expireSessions());
    await this.#guard('jobs', () => this.#tickJobs());
    await this.#guard('watches', () => this.#options.hub.refresh());
  }

  async #expireSessions(): Promise<void> {
    for (let i = 0; i < BATCHES_PER_SWEEP && !this.#stopped; i++) {
      if ((await this.#options.botSessions.expire(BATCH, this.#never)) < BATCH) break;
    }
  }

  async #tickJobs(): Promise<void> {
    const { jobs, effects } = this.#options;
    for (let i = 0; i < BATCHES_PER_SWEEP && !this.#stopped; i++) {
      const { jobIds, looks } = await jobs.due(BATCH, this.#never);
      await mapConcurrently(jobIds, CONCURRENT_TICKS, this.#never, (jobId) =>
        this.#guard(`job ${jobId}`, () => effects.apply(jobId, { type: 'tick' }, this.#never)),
      );
      await effects.lookAt(looks);
      if (jobIds.length + looks.length < BATCH) break;
    }
  }

  async #guard(what: string, task: () => Promise<unknown>): Promise<void> {
    try {
      await task();
    } catch (cause) {
      this.#options.logger.error({ err: cause, what }, 'part of a sweep failed; it comes up again');
    }
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimer(this.#options.settings.sweepInterval, () => {
      this.#running = this.sweep().finally(() => this.#arm());
    });
  }
}
