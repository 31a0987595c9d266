import type { JobPolicy, PlainDigest } from '../job.ts';
import type { NewOperation } from '../operation.ts';
import type { Outcome } from '../outcome.ts';
import type { Requirement } from '../platform.ts';

/** A replica that streams the job to a client, believed for `milliseconds` from the store's now. */
export interface Watch {
  readonly replicaId: string;
  readonly milliseconds: number;
}

/** What an Execute asks for. The store joins an unfinished job of the same action, or makes one. */
export interface Submission {
  /** The id of the job, if one is to be made. */
  readonly jobId: string;
  readonly instanceName: string;
  readonly actionDigest: PlainDigest;
  readonly action: Uint8Array;
  readonly requirement: Requirement;
  readonly priority: number;
  readonly doNotCache: boolean;
  readonly policy: JobPolicy;
  readonly operation: NewOperation;
  readonly watch: Watch | undefined;
  /** The answer, where the action cache had one: the job is born completed and never shared. */
  readonly cached: Outcome | undefined;
}

/**
 * What is to come of an offer whose message is gone.
 *
 * - `resend`: the job is offered again.
 * - `fail`: the job ends, as the operator's choice for lost work.
 * - `expired`: the job ends, since its queue's policy says how long it may wait.
 * - `overflow`: the job ends, since its queue's policy says how many may wait.
 */
export type OfferLoss = 'resend' | 'fail' | 'expired' | 'overflow';

/**
 * What can happen to a job. Times are durations: only the store's clock counts.
 *
 * - `join`: one more operation wants it.
 * - `watch`, `unwatch`: a replica begins, goes on, or ceases to stream it.
 * - `lease`: a bot takes it. Refused unless it is queued and `attempt` is the next one.
 * - `renew`: the bot is alive; `executing` says that it runs.
 * - `complete`: the bot is done and the outcome is final. `good` marks a result that counts even if it comes late.
 * - `give-back`: the attempt came to nothing: the bot failed, refused, was lost or shut down.
 * - `cancel-operation`, `delete-operation`: by a client. `cancel`: the whole job, by an operator.
 * - `offer-lost`: the message by which the job was offered is gone. Refused unless it is the job's last offer.
 * - `fit`: whether any bot covers the requirement; `unmet` says in words what no bot has.
 * - `tick`: time has passed.
 */
export type JobEvent =
  | { readonly type: 'join'; readonly operation: NewOperation; readonly watch: Watch | undefined }
  | { readonly type: 'watch'; readonly watch: Watch }
  | { readonly type: 'unwatch'; readonly replicaId: string }
  | {
      readonly type: 'lease';
      readonly attempt: number;
      readonly botId: string;
      readonly botSessionName: string;
      readonly leaseMilliseconds: number;
    }
  | {
      readonly type: 'renew';
      readonly attempt: number;
      readonly botId: string;
      readonly leaseMilliseconds: number;
      readonly executing: boolean;
      readonly partialMetadata: Uint8Array | undefined;
    }
  | {
      readonly type: 'complete';
      readonly attempt: number;
      readonly botId: string;
      readonly outcome: Outcome;
      readonly good: boolean;
    }
  | { readonly type: 'give-back'; readonly attempt: number; readonly botId: string; readonly reason: string }
  | { readonly type: 'cancel-operation'; readonly operationId: string }
  | { readonly type: 'delete-operation'; readonly operationId: string }
  | { readonly type: 'cancel'; readonly reason: string }
  | { readonly type: 'offer-lost'; readonly attempt: number; readonly offeredAt: number; readonly loss: OfferLoss }
  | { readonly type: 'fit'; readonly unmet: string | undefined }
  | { readonly type: 'tick' };

export type JobEventOf<Type extends JobEvent['type']> = Extract<JobEvent, { readonly type: Type }>;
