import type { IdGenerator } from '../lib/ids.ts';
import { StatusCode } from './status-code.ts';
import { StatusError } from './status-error.ts';

/**
 * The part of the farm's state that belongs together: two hexadecimal characters, 256 shards in all.
 *
 * It comes from the action's hash and begins the id of its jobs and operations, so that whoever holds an id knows where
 * the record lies, and job, deduplication entry, operations and deadlines share one hash slot of a Redis Cluster.
 */
export type Shard = string;

/**
 * Every shard, in order.
 *
 * @public for stores that keep the shards apart.
 */
export const SHARDS: readonly Shard[] = Array.from({ length: 256 }, (_, i) => i.toString(16).padStart(2, '0'));

const SHARDED_ID = /^[0-9a-f]{2}-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

/** The shard of an action. @param actionHash a checked hash, in lower-case hexadecimal. */
export function shardOfHash(actionHash: string): Shard {
  return actionHash.slice(0, 2);
}

/** A new id of a job or an operation in this shard: `<shard>-<uuid>`. */
export function createShardedId(shard: Shard, ids: IdGenerator): string {
  return `${shard}-${ids.uuid()}`;
}

/** Whether this is the form of an id that `createShardedId` makes. */
export function isShardedId(id: string): boolean {
  return SHARDED_ID.test(id);
}

/**
 * The shard of an id.
 *
 * @throws INTERNAL when it is none of ours: check ids from outside with `isShardedId` first.
 * @public for stores that keep the shards apart.
 */
export function shardOfId(id: string): Shard {
  if (!isShardedId(id)) throw new StatusError(StatusCode.INTERNAL, `'${id}' is not the id of a job or an operation`);
  return id.slice(0, 2);
}
