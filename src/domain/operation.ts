import type { RequestMetadata } from './request-metadata.ts';
import { isShardedId } from './shard.ts';

/** What a client wants to have in the answer itself, from ExecuteRequest. Hints: outputs that are too large stay out. */
export interface InlineWishes {
  readonly stdout: boolean;
  readonly stderr: boolean;
  readonly outputFiles: readonly string[];
}

/** One client's interest in a job. */
export interface Operation {
  /** `<shard>-<uuid>`; the job's shard. */
  readonly id: string;
  /** Milliseconds since the epoch, on the store's clock. */
  readonly createdAt: number;
  readonly priority: number;
  readonly requestMetadata: RequestMetadata | undefined;
  readonly inline: InlineWishes;
  /** When this client cancelled. The operation is done from then on, whatever becomes of the job. */
  readonly cancelledAt: number | undefined;
}

/** An operation that is to be made: the store adds the time. */
export type NewOperation = Omit<Operation, 'createdAt' | 'cancelledAt'>;

/** The name that clients see: `{instance}/{id}`, or the id alone for the instance with the empty name. */
export function operationName(instanceName: string, id: string): string {
  return instanceName === '' ? id : `${instanceName}/${id}`;
}

/**
 * The instance and id of a name that came from a client, or undefined where it cannot be one of ours.
 *
 * A leading slash is allowed: BuildGrid names operations of the empty instance so, and its users' tools build such names.
 */
export function parseOperationName(name: string): { readonly instanceName: string; readonly id: string } | undefined {
  const slash = name.lastIndexOf('/');
  const id = name.slice(slash + 1);
  if (!isShardedId(id)) return undefined;
  return { instanceName: slash <= 0 ? '' : name.slice(0, slash), id };
}
