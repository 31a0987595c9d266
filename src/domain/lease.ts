import { isShardedId } from './shard.ts';

/** One bot's claim to run a job. */
export interface Lease {
  /** 1 for the first lease of the job. A result is fenced by it. */
  readonly attempt: number;
  readonly botId: string;
  readonly botSessionName: string;
  /** When it was given, in milliseconds since the epoch on the store's clock. */
  readonly leasedAt: number;
  /** When it is taken back unless the bot has renewed it. */
  readonly expiresAt: number;
}

/** How an attempt that did not complete its job went; kept on the job, where operators and messages find it. */
export interface FailedAttempt {
  readonly attempt: number;
  readonly botId: string;
  readonly leasedAt: number;
  readonly endedAt: number;
  readonly reason: string;
}

/** What a lease's id tells. */
export interface LeaseName {
  readonly jobId: string;
  readonly attempt: number;
}

/** `<job id>.<attempt>`: what bots are told; fit for the name of a header, as partial metadata needs. */
export function leaseId(jobId: string, attempt: number): string {
  return `${jobId}.${attempt}`;
}

/** The job and attempt of a lease's id, or undefined where a bot sent something else. */
export function parseLeaseId(id: string): LeaseName | undefined {
  const dot = id.indexOf('.');
  if (dot < 0) return undefined;
  const jobId = id.slice(0, dot);
  const digits = id.slice(dot + 1);
  if (!/^[1-9][0-9]{0,8}$/.test(digits) || !isShardedId(jobId)) return undefined;
  return { jobId, attempt: Number(digits) };
}
