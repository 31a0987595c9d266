import { SHARDS, type Shard, shardOfId } from '../../../domain/shard.ts';

/** The names of one shard's keys. All bear the tag `{shard}`, so that a Redis Cluster keeps them in one slot. */
export interface ShardKeys {
  readonly shard: Shard;
  /** Begins the name of each job's record; its id follows. */
  readonly jobs: string;
  readonly operations: string;
  readonly shared: string;
  readonly deadlines: string;
  readonly queued: string;
  readonly unsettled: string;
  readonly lines: string;
  readonly finished: string;
  readonly answers: string;
}

/** The names of all keys of jobs. */
export class JobKeys {
  readonly all: readonly ShardKeys[];
  readonly #byShard: ReadonlyMap<Shard, ShardKeys>;

  /** @param prefix begins every key; without braces, which would make another tag. */
  constructor(prefix: string) {
    this.all = SHARDS.map((shard) => {
      const stem = `${prefix}{${shard}}:`;
      return {
        shard,
        jobs: `${stem}job:`,
        operations: `${stem}operation:`,
        shared: `${stem}shared:`,
        deadlines: `${stem}deadlines`,
        queued: `${stem}queued`,
        unsettled: `${stem}unsettled`,
        lines: `${stem}lines`,
        finished: `${stem}finished`,
        answers: `${stem}answers`,
      };
    });
    this.#byShard = new Map(this.all.map((keys) => [keys.shard, keys]));
  }

  /** The keys of the shard of a job or an operation. @throws INTERNAL when the id is none of ours. */
  ofId(id: string): ShardKeys {
    return this.#byShard.get(shardOfId(id)) as ShardKeys;
  }
}

/** The keys that every script on a job takes: its record, and the indexes of its shard. */
export function scriptKeys(keys: ShardKeys, jobId: string): string[] {
  return [keys.jobs + jobId, keys.deadlines, keys.queued, keys.unsettled, keys.finished, keys.answers];
}
