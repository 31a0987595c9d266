import type { Job, PlainDigest } from '../domain/job.ts';
import type { Submission, Watch } from '../domain/job-machine/event.ts';
import type { InlineWishes } from '../domain/operation.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { Requirement } from '../domain/platform.ts';
import type { RequestMetadata } from '../domain/request-metadata.ts';
import { createShardedId, shardOfHash } from '../domain/shard.ts';
import type { IdGenerator } from '../lib/ids.ts';
import { CarrierAwayError } from '../ports/broker.ts';
import type { JobStore } from '../ports/job-store.ts';
import type { EffectRunner } from './effect-runner.ts';
import type { SchedulingSettings } from './settings.ts';
import type { JobWatch, WatchHub } from './watch-hub.ts';

/** What a client wants executed, checked. */
export interface ExecutionWish {
  /** From `newOperationId`. */
  readonly operationId: string;
  readonly instanceName: string;
  readonly actionDigest: PlainDigest;
  /** The encoded Action. */
  readonly action: Uint8Array;
  readonly requirement: Requirement;
  readonly priority: number;
  readonly doNotCache: boolean;
  /** Action.timeout in milliseconds; undefined for the greatest allowed. */
  readonly timeout: number | undefined;
  readonly requestMetadata: RequestMetadata | undefined;
  readonly inline: InlineWishes;
  /** The answer, where the action cache had it. */
  readonly cached: Outcome | undefined;
}

export interface SubmittingOptions {
  readonly jobs: JobStore;
  readonly effects: EffectRunner;
  readonly hub: WatchHub;
  readonly ids: IdGenerator;
  readonly replicaId: string;
  readonly settings: SchedulingSettings;
}

/** Brings an Execute to the job store and its job to the broker, and follows it. */
export class Submitting {
  readonly #options: SubmittingOptions;

  constructor(options: SubmittingOptions) {
    this.#options = options;
  }

  /** An id for the operation, known before the job is: clients hear of it while the cache is looked up. */
  newOperationId(actionHash: string): string {
    return createShardedId(shardOfHash(actionHash), this.#options.ids);
  }

  /**
   * @returns the watch, which already holds the job; the caller disposes of it.
   * @throws RESOURCE_EXHAUSTED or UNAVAILABLE, with RetryInfo, when store or broker take no more; nothing is left behind.
   *   A broker that is away is no reason to refuse.
   */
  async submit(wish: ExecutionWish, signal: AbortSignal): Promise<{ readonly job: Job; readonly watch: JobWatch }> {
    const { jobs, effects, hub, replicaId, settings } = this.#options;
    const { operationId } = wish;
    const watching = { replicaId, milliseconds: hub.watchMilliseconds };
    const submitted = await jobs.submit(this.#submission(wish, settings.abandonAfter, watching), signal);
    const watch = hub.open(submitted.job.id);
    try {
      watch.feed(submitted.job);
      // A job that others already know may have changed before its watch was open, or have lost its watch here with the
      // last of them: its end is said after the submission, but before this.
      if (submitted.joined) {
        const again = await jobs.apply(submitted.job.id, { type: 'watch', watch: watching }, signal);
        watch.feed(again?.job ?? submitted.job);
      }
      await effects.run(submitted.job.id, submitted).catch((cause: unknown) => {
        // The job stands, and its offer is owed: it waits for the carrier as it would for a bot.
        if (!(cause instanceof CarrierAwayError)) throw cause;
      });
      return { job: submitted.job, watch };
    } catch (cause) {
      watch[Symbol.dispose]();
      await effects.apply(submitted.job.id, { type: 'delete-operation', operationId }, new AbortController().signal);
      throw cause;
    }
  }

  /**
   * Submits what no client waits for. Unless clients come and go, it goes on for `abandonAfter` milliseconds.
   *
   * @throws as `submit`.
   */
  async submitUnwatched(wish: ExecutionWish, abandonAfter: number, signal: AbortSignal): Promise<Job> {
    const { jobs, effects } = this.#options;
    const submitted = await jobs.submit(this.#submission(wish, abandonAfter, undefined), signal);
    effects.runLater(submitted.job.id, submitted);
    return submitted.job;
  }

  #submission(wish: ExecutionWish, abandonAfter: number, watch: Watch | undefined): Submission {
    const { ids, settings } = this.#options;
    const { operationId, requestMetadata, inline, timeout, ...rest } = wish;
    return {
      ...rest,
      jobId: createShardedId(shardOfHash(wish.actionDigest.hash), ids),
      policy: {
        maxAttempts: settings.maxAttempts,
        queueTimeout: settings.queueTimeout,
        executionTimeout: (timeout ?? settings.maxExecutionTimeout) + settings.executionTimeoutMargin,
        abandonAfter,
        unservedGrace: settings.unservedGrace,
        retention: settings.retention,
      },
      operation: { id: operationId, priority: wish.priority, requestMetadata, inline },
      watch,
    };
  }

  /** Follows the job of an operation that someone submitted earlier. Undefined where it is not known. */
  async follow(operationId: string, signal: AbortSignal): Promise<JobWatch | undefined> {
    const { jobs, hub, replicaId } = this.#options;
    const known = await jobs.getByOperation(operationId, signal);
    if (known === undefined) return undefined;
    const watch = hub.open(known.id);
    try {
      const event = { type: 'watch', watch: { replicaId, milliseconds: hub.watchMilliseconds } } as const;
      watch.feed((await jobs.apply(known.id, event, signal))?.job ?? known);
      return watch;
    } catch (cause) {
      watch[Symbol.dispose]();
      throw cause;
    }
  }
}
