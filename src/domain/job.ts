import type { Digest } from './digest.ts';
import { digestFunctionByWireValue } from './digest-function.ts';
import type { FailedAttempt, Lease } from './lease.ts';
import type { Operation } from './operation.ts';
import type { Outcome } from './outcome.ts';
import type { Requirement } from './platform.ts';
import { StatusCode } from './status-code.ts';
import { StatusError } from './status-error.ts';

/**
 * Where a job stands.
 *
 * - `queued`: waits for a bot.
 * - `leased`: handed to a bot that has not said yet that it runs.
 * - `executing`: the bot said that it runs.
 * - `completed`: a bot, or the action cache, gave the answer, good or bad.
 * - `cancelled`: no client wants it any more.
 * - `expired`: waited or ran too long.
 * - `failed`: its attempts are used up, or no bot can run it.
 */
export type JobState = 'queued' | 'leased' | 'executing' | 'completed' | 'cancelled' | 'expired' | 'failed';

/** A digest as a plain value, for records and messages. */
export interface PlainDigest {
  /** The number in DigestFunction.Value. */
  readonly digestFunction: number;
  readonly hash: string;
  readonly sizeBytes: number;
}

/** The bounds that a job carries from its making, so that replicas with different settings agree. Milliseconds. */
export interface JobPolicy {
  /** Leases until the job fails. */
  readonly maxAttempts: number;
  /** Longest wait in the queue, over all attempts; undefined for no bound. */
  readonly queueTimeout: number | undefined;
  /** Longest run of one attempt, staging included. */
  readonly executionTimeout: number;
  /** How long it goes on unwatched. */
  readonly abandonAfter: number;
  /** How long a requirement that no bot covers is waited for. */
  readonly unservedGrace: number;
  /** How long the finished record is kept. */
  readonly retention: number;
}

/** One execution of one Action, shared by every operation that wants it. A plain value. */
export interface Job {
  /** `<shard>-<uuid>`. */
  readonly id: string;
  readonly instanceName: string;
  readonly actionDigest: PlainDigest;
  /** The encoded Action, for the lease; empty once finished. */
  readonly action: Uint8Array;
  readonly requirement: Requirement;
  /** Lower runs first; the lowest of its operations'. */
  readonly priority: number;
  /** The result must not be cached, and the job must not be shared. */
  readonly doNotCache: boolean;
  readonly policy: JobPolicy;

  readonly state: JobState;
  /** Grows with every change that a client can see. Who holds a younger one drops an older one. */
  readonly version: number;
  /** How many leases were given so far. */
  readonly attempts: number;
  /** The lease in force, in `leased` and `executing` alone. */
  readonly lease: Lease | undefined;
  readonly failedAttempts: readonly FailedAttempt[];
  readonly operations: readonly Operation[];
  /** Replicas that stream this job to a client, and until when each is believed to do so. */
  readonly watchers: Readonly<Record<string, number>>;
  readonly unwatchedSince: number | undefined;
  /** Since when no bot's capability has covered the requirement. */
  readonly unservedSince: number | undefined;
  /** When the broker was last told that it waits; a message of an earlier offer is void. */
  readonly offeredAt: number;
  /** When to look next whether any bot covers the requirement. */
  readonly fitCheckAt: number;
  /** The encoded ExecutedActionMetadata that the bot last sent. */
  readonly partialMetadata: Uint8Array | undefined;

  /** When it was made; ties of priority are broken by it. Milliseconds since the epoch on the store's clock. */
  readonly queuedAt: number;
  readonly startedAt: number | undefined;
  readonly finishedAt: number | undefined;
  readonly outcome: Outcome | undefined;
}

export function isFinished(job: Job): boolean {
  return job.state !== 'queued' && job.state !== 'leased' && job.state !== 'executing';
}

/** What a REAPI client is told. */
export type Stage = 'QUEUED' | 'EXECUTING' | 'COMPLETED';

/** A job counts as EXECUTING from its lease on: bots start at once, and many report nothing until they have finished. */
export function stageOf(job: Job): Stage {
  if (job.state === 'queued') return 'QUEUED';
  return isFinished(job) ? 'COMPLETED' : 'EXECUTING';
}

/** How the operation ended, or undefined while it goes on. A cancelled one ended though its job may go on. */
export function outcomeOf(job: Job, operation: Operation): Outcome | undefined {
  if (operation.cancelledAt !== undefined) return CANCELLED_OUTCOME;
  return job.outcome;
}

const CANCELLED_OUTCOME: Outcome = {
  kind: 'status',
  status: { code: StatusCode.CANCELLED, message: 'the operation was cancelled', details: [] },
};

/** Equal for Executes that may share a job: same instance, same action. */
export function deduplicationKey(instanceName: string, actionDigest: PlainDigest): string {
  return `${actionDigest.digestFunction}:${actionDigest.hash}/${actionDigest.sizeBytes}@${instanceName}`;
}

export function digestToPlain(digest: Digest): PlainDigest {
  return { digestFunction: digest.digestFunction.wireValue, hash: digest.hash, sizeBytes: digest.sizeBytes };
}

/** @throws INTERNAL when the record names a function that this build does not know. */
export function digestFromPlain(plain: PlainDigest): Digest {
  const digestFunction = digestFunctionByWireValue(plain.digestFunction);
  if (digestFunction === undefined) {
    throw new StatusError(StatusCode.INTERNAL, `digest function ${plain.digestFunction} is not known to this replica`);
  }
  return { digestFunction, hash: plain.hash, sizeBytes: plain.sizeBytes };
}
