import { leaseId, parseLeaseId } from './lease.ts';

/** The two streams of an action. */
export type ActionStream = 'stdout' | 'stderr';

/** A name for each stream of an action. */
export type ActionStreamNames = Readonly<Record<ActionStream, string>>;

/** What the id of an action's stream tells. */
export interface ActionStreamId {
  readonly jobId: string;
  readonly attempt: number;
  readonly stream: ActionStream;
}

/** `<lease id>.stdout` or `.stderr`: known without asking anybody, and another for each attempt. */
export function actionStreamId({ jobId, attempt, stream }: ActionStreamId): string {
  return `${leaseId(jobId, attempt)}.${stream}`;
}

/** What the id tells, or undefined where it is not of an action's stream. */
export function parseActionStreamId(id: string): ActionStreamId | undefined {
  const dot = id.lastIndexOf('.');
  const stream = id.slice(dot + 1);
  if (stream !== 'stdout' && stream !== 'stderr') return undefined;
  const lease = parseLeaseId(id.slice(0, dot));
  return lease === undefined ? undefined : { ...lease, stream };
}
