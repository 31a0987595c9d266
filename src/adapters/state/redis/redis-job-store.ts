import { deduplicationKey, isFinished, type Job } from '../../../domain/job.ts';
import { createJob } from '../../../domain/job-machine/create.ts';
import type { JobEvent, Submission, Watch } from '../../../domain/job-machine/event.ts';
import { MAX_OPERATIONS_PER_JOB } from '../../../domain/job-machine/join.ts';
import type { OperationQuery, SortKey } from '../../../domain/operation-query.ts';
import { isShardedId, SHARDS } from '../../../domain/shard.ts';
import { resourceExhausted } from '../../../domain/status-error.ts';
import { LOOKED_AT_IN_LINE } from '../../../domain/waiting-lines.ts';
import { workQueueKey } from '../../../domain/work.ts';
import {
  type AppliedEvent,
  addWaiting,
  type DueJobs,
  type DueLook,
  type JobCounts,
  type JobGlance,
  type JobStore,
  type KnownVersion,
  type OperationPage,
  type Submitted,
  type WaitingJobs,
} from '../../../ports/job-store.ts';
import { callOfEvent } from './event-call.ts';
import { JobKeys, type ShardKeys, scriptKeys } from './job-keys.ts';
import {
  decodeEffects,
  decodeJob,
  decodeLooks,
  decodeQueueName,
  encodeFixed,
  encodeOperation,
  encodeOutcome,
  encodePolicy,
} from './job-record.ts';
import { OperationListing } from './operation-listing.ts';
import type { RedisConnection, ScriptArgument, ScriptReply } from './redis-connection.ts';

export interface RedisJobStoreOptions {
  readonly connection: RedisConnection;
  /** Begins every key, so that several farms can share a Redis; without braces. */
  readonly keyPrefix: string;
  /**
   * Unfinished jobs that are held at once; beyond, Execute gets RESOURCE_EXHAUSTED. Each of the 256 shards takes its
   * part: actions spread evenly, by their hash.
   */
  readonly maxUnfinished: number;
  /** Finished jobs that are kept to be asked for, within their retention; then the oldest go, shard by shard. */
  readonly maxFinished: number;
  /** Bytes of answers kept with them, likewise. */
  readonly maxFinishedBytes: number;
  /** Operations that share a job at most. Defaults to MAX_OPERATIONS_PER_JOB. */
  readonly maxOperationsPerJob?: number;
  /** For tests: the time, in milliseconds, in place of Redis' own. */
  readonly now?: () => number;
}

/** How long a due job is left to the caller who got it, in milliseconds. */
const DUE_AGAIN_AFTER = 5_000;

/** Due jobs looked at in each shard at a time. */
const PEEKED_PER_SHARD = 100;

/** A call that finds enough looks no further; the next begins so many shards on, which in time is with each of them. */
const PEEK_STRIDE = 97;

/** Jobs of each kind read from each shard for a glance: actions spread evenly, and a glance need not be exact. */
const GLANCED_PER_SHARD = 2;

/** How soon a caller who was refused for want of room should come again, in milliseconds. */
const RETRY_WHEN_FULL = 5_000;

/** Jobs named in one call that renews watches. */
const REFRESHED_PER_CALL = 100;

/** Due jobs named in one call: each is a step of some microseconds, and Redis does nothing else meanwhile. */
const CLAIMED_PER_CALL = 100;

/** Shards whose lines one call looks at: jobs are loaded, as many as CLAIMED_PER_CALL. */
const SHARDS_PER_LOOK = 10;

/** Jobs read in one call. */
const READ_PER_CALL = 100;

/** Jobs named in one call that settles. */
const SETTLED_PER_CALL = 500;

/**
 * Jobs in Redis: the truth that all replicas share.
 *
 * Each event is one Lua script, each script touches one shard, and a shard's keys lie in one hash slot.
 */
export class RedisJobStore implements JobStore {
  readonly #connection: RedisConnection;
  readonly #keys: JobKeys;
  readonly #listing: OperationListing;
  readonly #now: () => ScriptArgument;
  readonly #bounds: readonly [maxFinished: number, maxFinishedBytes: number];
  readonly #maxUnfinished: number;
  readonly #maxOperationsPerJob: number;
  #firstPeeked = 0;

  constructor(options: RedisJobStoreOptions) {
    const { connection, keyPrefix, maxUnfinished, maxFinished, maxFinishedBytes, now } = options;
    this.#connection = connection;
    this.#keys = new JobKeys(keyPrefix);
    this.#listing = new OperationListing(connection, this.#keys);
    this.#now = now ?? (() => '');
    this.#bounds = [perShard(maxFinished), perShard(maxFinishedBytes)];
    this.#maxUnfinished = perShard(maxUnfinished);
    this.#maxOperationsPerJob = options.maxOperationsPerJob ?? MAX_OPERATIONS_PER_JOB;
  }

  async submit(submission: Submission, signal: AbortSignal): Promise<Submitted> {
    const { jobId, operation, watch, cached, policy } = submission;
    const keys = this.#keys.ofId(jobId);
    const shared = submission.doNotCache || cached !== undefined ? '' : sharedName(submission);
    const { fitCheckAt: firstFitCheck } = createJob(submission, 0).next;
    const reply = await this.#connection.run(
      'submit',
      [...scriptKeys(keys, jobId), keys.operations + operation.id, keys.shared + shared],
      [
        ...this.#commonArguments(),
        this.#maxUnfinished,
        jobId,
        shared,
        encodeFixed(submission),
        encodePolicy(policy),
        submission.requirement.key,
        submission.priority,
        firstFitCheck,
        Buffer.from(submission.action),
        operation.id,
        encodeOperation(operation),
        operation.priority,
        watch?.replicaId ?? '',
        watch?.milliseconds ?? 0,
        cached === undefined ? '' : encodeOutcome(cached),
        workQueueKey(submission),
        this.#maxOperationsPerJob,
      ],
      signal,
    );
    const [result, second, record, id] = reply as readonly ScriptReply[];
    switch (String(result)) {
      case 'created': {
        const { next: job, effects } = createJob(submission, Number(second));
        return { job, effects, accepted: true, joined: false };
      }
      case 'joined': {
        const job = decodeJob(String(id), record ?? null) as Job;
        return { job, effects: decodeEffects(second, job), accepted: true, joined: true };
      }
      default:
        throw resourceExhausted('too many actions wait or run already', RETRY_WHEN_FULL);
    }
  }

  async apply(jobId: string, event: JobEvent, signal: AbortSignal): Promise<AppliedEvent | undefined> {
    if (!isShardedId(jobId)) return undefined;
    const { script, args } = callOfEvent(event);
    const keys = this.#keys.ofId(jobId);
    const common = this.#commonArguments();
    const reply = await this.#connection.run(script, scriptKeys(keys, jobId), [...common, ...args], signal);
    if (!Array.isArray(reply)) return undefined;
    const job = decodeJob(jobId, reply[2] ?? null);
    return { job, effects: decodeEffects(reply[1], job), accepted: reply[0] === 1 };
  }

  async get(jobId: string, signal: AbortSignal): Promise<Job | undefined> {
    if (!isShardedId(jobId)) return undefined;
    return decodeJob(jobId, await this.#connection.run('get', [this.#keys.ofId(jobId).jobs + jobId], [], signal));
  }

  async getAll(jobIds: readonly string[], signal: AbortSignal): Promise<readonly Job[]> {
    const ids = jobIds.filter((id) => isShardedId(id)).map((jobId) => ({ jobId }));
    const jobs = this.#batches(ids, READ_PER_CALL).map(async (batch) => {
      const keys = batch.map(({ jobId }) => this.#keys.ofId(jobId).jobs + jobId);
      const records = (await this.#connection.run('get-all', keys, [], signal)) as readonly ScriptReply[];
      return batch.map(({ jobId }, i) => decodeJob(jobId, records[i] ?? null));
    });
    return (await Promise.all(jobs)).flat().filter((job) => job !== undefined);
  }

  async getByOperation(operationId: string, signal: AbortSignal): Promise<Job | undefined> {
    if (!isShardedId(operationId)) return undefined;
    const keys = this.#keys.ofId(operationId);
    const found = await this.#connection.run('get-by-operation', [keys.operations + operationId], [keys.jobs], signal);
    return Array.isArray(found) ? decodeJob(String(found[0]), found[1] ?? null) : undefined;
  }

  async settle(carriedOut: readonly KnownVersion[], signal: AbortSignal): Promise<void> {
    await Promise.all(
      this.#batches(carriedOut, SETTLED_PER_CALL).map((batch) => {
        const keys = batch.flatMap(({ jobId }) => {
          const { jobs, unsettled } = this.#keys.ofId(jobId);
          return [jobs + jobId, unsettled];
        });
        const args = batch.flatMap(({ jobId, version }) => [version, jobId]);
        return this.#connection.run('settle', keys, args, signal);
      }),
    );
  }

  async refreshWatches(
    known: readonly KnownVersion[],
    watch: Watch,
    signal: AbortSignal,
  ): Promise<{ readonly changed: readonly Job[]; readonly gone: readonly string[] }> {
    const changed: Job[] = [];
    const gone: string[] = [];
    const batches = [...groupByShard(known, this.#keys)].flatMap(([keys, jobs]) =>
      inBatches(jobs, REFRESHED_PER_CALL).map((batch) => [keys, batch] as const),
    );
    await Promise.all(
      batches.map(async ([keys, batch]) => {
        const [first = '', ...rest] = batch.map((each) => each.jobId);
        const replies = await this.#connection.run(
          'refresh-watches',
          [...scriptKeys(keys, first), ...rest.map((id) => keys.jobs + id)],
          [...this.#commonArguments(), watch.replicaId, watch.milliseconds, ...batch.map((each) => each.version)],
          signal,
        );
        batch.forEach(({ jobId }, i) => {
          const reply = (replies as readonly ScriptReply[])[i] ?? null;
          if (reply === 0) gone.push(jobId);
          const job = decodeJob(jobId, reply);
          if (job !== undefined) changed.push(job);
        });
      }),
    );
    return { changed, gone };
  }

  async due(limit: number, signal: AbortSignal): Promise<DueJobs> {
    const { earliest, lined } = await this.#peek(limit, signal);
    const chosen = [...earliest].sort((a, b) => a[1] - b[1]).slice(0, limit);
    const claimed = new Set<string>();
    const looks: DueLook[] = [];
    const batches = this.#batches(
      chosen.map(([jobId]) => ({ jobId })),
      CLAIMED_PER_CALL,
    );
    await Promise.all(
      batches.map(async (batch) => {
        const keys = batch.flatMap(({ jobId }) => scriptKeys(this.#keys.ofId(jobId), jobId));
        const reply = await this.#connection.run(
          'claim-due',
          keys,
          [...this.#commonArguments(), DUE_AGAIN_AFTER],
          signal,
        );
        const [ids, found, queues] = reply as ReadonlyArray<readonly ScriptReply[]>;
        for (const id of ids ?? []) claimed.add(String(id));
        looks.push(...decodeLooks(found ?? [], queues ?? []));
      }),
    );
    const jobIds = chosen.map(([id]) => id).filter((id) => claimed.has(id));
    looks.push(...(await this.#lookAtLines(lined, limit - jobIds.length - looks.length, signal)));
    return { jobIds, looks };
  }

  /** Jobs that seem due, by when the first of what is due of them was, and shards with lines that do. */
  async #peek(
    limit: number,
    signal: AbortSignal,
  ): Promise<{ readonly earliest: ReadonlyMap<string, number>; readonly lined: readonly ShardKeys[] }> {
    this.#firstPeeked = (this.#firstPeeked + PEEK_STRIDE) % SHARDS.length;
    const earliest = new Map<string, number>();
    const lined: ShardKeys[] = [];
    await Promise.all(
      this.#shardsByCall().map(async (shards) => {
        const inTurn = [...shards.slice(this.#firstPeeked), ...shards.slice(0, this.#firstPeeked)];
        const keys = inTurn.flatMap(({ deadlines, unsettled, lines }) => [deadlines, unsettled, lines]);
        const args = [this.#now(), Math.min(limit, PEEKED_PER_SHARD), limit];
        const reply = await this.#connection.run('peek-due', keys, args, signal);
        const [pairs = [], numbers = []] = reply as ReadonlyArray<readonly ScriptReply[]>;
        for (let i = 0; i + 1 < pairs.length; i += 2) {
          const id = String(pairs[i]);
          const at = Number(pairs[i + 1]);
          earliest.set(id, Math.min(at, earliest.get(id) ?? at));
        }
        lined.push(...numbers.map((number) => inTurn[Number(number)]).filter((each) => each !== undefined));
      }),
    );
    return { earliest, lined };
  }

  /** Takes the looks at lines of these shards, about `limit` at most. */
  async #lookAtLines(shards: readonly ShardKeys[], limit: number, signal: AbortSignal): Promise<readonly DueLook[]> {
    const looks: DueLook[] = [];
    for (const batch of inBatches(shards, this.#connection.spansSlots ? SHARDS_PER_LOOK : 1)) {
      if (looks.length >= limit) break;
      const keys = batch.flatMap((each) => scriptKeys(each, ''));
      const args = [...this.#commonArguments(), LOOKED_AT_IN_LINE, Math.min(CLAIMED_PER_CALL, limit - looks.length)];
      const reply = await this.#connection.run('look-at-lines', keys, args, signal);
      const [found, queues] = reply as ReadonlyArray<readonly ScriptReply[]>;
      looks.push(...decodeLooks(found ?? [], queues ?? []));
    }
    return looks;
  }

  list(query: OperationQuery, limit: number, after: SortKey | undefined, signal: AbortSignal): Promise<OperationPage> {
    return this.#listing.list(query, limit, after, signal);
  }

  async count(signal: AbortSignal): Promise<JobCounts> {
    const counts = await Promise.all(
      this.#shardsByCall().map(async (shards) => {
        const keys = shards.flatMap(({ deadlines, queued, finished }) => [deadlines, queued, finished]);
        return (await this.#connection.run('count', keys, [], signal)) as readonly number[];
      }),
    );
    let [all, queued, finished] = [0, 0, 0];
    for (const each of counts) {
      all += each[0] ?? 0;
      queued += each[1] ?? 0;
      finished += each[2] ?? 0;
    }
    return { queued, leased: all - queued - finished, finished };
  }

  async glance(limit: number, signal: AbortSignal): Promise<JobGlance> {
    const ids = await Promise.all(
      this.#keys.all.map(async ({ queued, finished }) => {
        const reply = await this.#connection.run('glance', [queued, finished], [GLANCED_PER_SHARD], signal);
        return (reply as ReadonlyArray<readonly ScriptReply[]>).map((each) => each.map(String));
      }),
    );
    const [queued, finished] = await Promise.all([
      this.getAll(ids.flatMap(([waiting = []]) => waiting).slice(0, limit), signal),
      this.getAll(
        ids.flatMap(([, ended = []]) => ended),
        signal,
      ),
    ]);
    // Either may have moved on since the ids were read.
    return {
      queued: queued.filter((job) => job.state === 'queued'),
      finished: finished
        .filter(isFinished)
        .sort((a, b) => (b.finishedAt ?? 0) - (a.finishedAt ?? 0))
        .slice(0, limit),
    };
  }

  async waiting(signal: AbortSignal): Promise<readonly WaitingJobs[]> {
    const counted = new Map<string, WaitingJobs>();
    await Promise.all(
      this.#keys.all.map(async ({ queued, jobs }) => {
        const reply = (await this.#connection.run('waiting', [queued], [jobs], signal)) as readonly ScriptReply[];
        for (let i = 0; i + 3 < reply.length; i += 4) {
          const queue = decodeQueueName(String(reply[i]), String(reply[i + 1]));
          const [count, oldestQueuedAt] = [Number(reply[i + 2]), Number(reply[i + 3])];
          addWaiting(counted, workQueueKey(queue), { queue, jobs: count, oldestQueuedAt });
        }
      }),
    );
    return [...counted.values()];
  }

  /** The shards, as calls that only look may name them together. */
  #shardsByCall(): ReadonlyArray<readonly ShardKeys[]> {
    return this.#connection.spansSlots ? [this.#keys.all] : this.#keys.all.map((each) => [each]);
  }

  /** Jobs as one call may name them together. */
  #batches<T extends { readonly jobId: string }>(jobs: readonly T[], size: number): ReadonlyArray<readonly T[]> {
    const groups = this.#connection.spansSlots ? [jobs] : [...groupByShard(jobs, this.#keys).values()];
    return groups.flatMap((group) => inBatches(group, size));
  }

  #commonArguments(): readonly ScriptArgument[] {
    return [this.#now(), ...this.#bounds];
  }
}

function perShard(total: number): number {
  return Math.max(1, Math.ceil(total / SHARDS.length));
}

function sharedName({ instanceName, actionDigest }: Submission): string {
  return deduplicationKey(instanceName, actionDigest);
}

function groupByShard<T extends { readonly jobId: string }>(jobs: readonly T[], keys: JobKeys): Map<ShardKeys, T[]> {
  const groups = new Map<ShardKeys, T[]>();
  for (const job of jobs) {
    const shard = keys.ofId(job.jobId);
    const group = groups.get(shard);
    if (group === undefined) groups.set(shard, [job]);
    else group.push(job);
  }
  return groups;
}

function inBatches<T>(items: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(items.length / size) }, (_, i) => items.slice(i * size, (i + 1) * size));
}
