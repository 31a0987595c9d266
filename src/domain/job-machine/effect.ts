import type { WorkMessage, WorkQueueName } from '../work.ts';

/**
 * What must follow a change: hints to others, never the truth itself.
 *
 * - `offer`: tell the broker that the job waits; a repeat replaces the earlier offer where the broker can.
 * - `withdraw`: the offer is void. A broker that can't take it back leaves it to be dropped when taken.
 * - `notify`: the job changed as clients see it; these replicas, possibly none, stream it.
 * - `end-lease`: the bot must stop; the replica that holds its poll should answer it now.
 * - `dead-letter`: for the operator to read.
 * - `check-fit`: someone should look whether any bot covers the requirement, and say so by a `fit` event.
 */
export type JobEffect =
  | { readonly type: 'offer'; readonly work: WorkMessage }
  | { readonly type: 'withdraw'; readonly queue: WorkQueueName }
  | { readonly type: 'notify'; readonly replicaIds: readonly string[] }
  | { readonly type: 'end-lease'; readonly botSessionName: string; readonly leaseId: string }
  | { readonly type: 'dead-letter'; readonly reason: string }
  | { readonly type: 'check-fit' };
