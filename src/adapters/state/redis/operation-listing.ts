import type { Job } from '../../../domain/job.ts';
import {
  compareSortKeys,
  matchesQuery,
  type OperationQuery,
  type SortKey,
  sortKeyOf,
} from '../../../domain/operation-query.ts';
import type { OperationPage } from '../../../ports/job-store.ts';
import type { JobKeys, ShardKeys } from './job-keys.ts';
import { decodeJob } from './job-record.ts';
import type { RedisConnection, ScriptReply } from './redis-connection.ts';

interface FoundOperation {
  readonly job: Job;
  readonly operationId: string;
  readonly key: SortKey;
}

/** Records read at once. */
const BATCH = 200;

/**
 * Finds operations for a page.
 *
 * An operator's call, and one that reads every record it can't rule out; it holds no more of them than a page and a
 * batch. Names of one instance begin with their shard, so that a list by name, as it is by default, ends with its page.
 */
export class OperationListing {
  readonly #connection: RedisConnection;
  readonly #keys: JobKeys;

  constructor(connection: RedisConnection, keys: JobKeys) {
    this.#connection = connection;
    this.#keys = keys;
  }

  async list(
    query: OperationQuery,
    limit: number,
    after: SortKey | undefined,
    signal: AbortSignal,
  ): Promise<OperationPage> {
    const [sort] = query.sort;
    const byName = query.instanceName !== undefined && (sort === undefined || sort.field === 'name');
    const shards = byName && sort?.descending === true ? [...this.#keys.all].reverse() : this.#keys.all;
    let found: FoundOperation[] = [];
    for (const keys of shards) {
      const matching = await this.#listShard(keys, query, after, signal);
      if (matching.length > 0) {
        found.push(...matching);
        found.sort((a, b) => compareSortKeys(query, a.key, b.key));
        found = found.slice(0, limit + 1);
      }
      if (byName && found.length > limit) break;
    }
    const page = found.slice(0, limit);
    return {
      operations: page.map(({ job, operationId }) => ({ job, operationId })),
      next: found.length > limit ? page.at(-1)?.key : undefined,
    };
  }

  async #listShard(
    keys: ShardKeys,
    query: OperationQuery,
    after: SortKey | undefined,
    signal: AbortSignal,
  ): Promise<FoundOperation[]> {
    const reply = (await this.#connection.run('list-ids', [keys.deadlines], [], signal)) as readonly ScriptReply[];
    const ids = reply.map(String);
    const found: FoundOperation[] = [];
    for (let start = 0; start < ids.length; start += BATCH) {
      const jobs = await Promise.all(
        ids
          .slice(start, start + BATCH)
          .map(async (id) => decodeJob(id, await this.#connection.run('get', [keys.jobs + id], [], signal))),
      );
      for (const job of jobs) {
        for (const operation of job?.operations ?? []) {
          if (job === undefined || !matchesQuery(job, operation, query)) continue;
          const key = sortKeyOf(job, operation, query);
          if (after !== undefined && compareSortKeys(query, key, after) <= 0) continue;
          found.push({ job, operationId: operation.id, key });
        }
      }
    }
    return found;
  }
}
