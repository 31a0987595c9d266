import type { JobState, PlainDigest } from '../domain/job.ts';
import type { Capability } from '../domain/platform.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import type { BuildLabels, WorkMessage, WorkQueueName } from '../domain/work.ts';

/**
 * The carrier can't be reached, and nobody knows whether it took the message: UNAVAILABLE with RetryInfo.
 *
 * Told apart from a carrier that refuses: what was offered is owed still, and is offered again once the carrier is back.
 */
export class CarrierAwayError extends StatusError {
  constructor(message: string, retryDelayMilliseconds: number, cause?: unknown) {
    super(StatusCode.UNAVAILABLE, message, { details: [{ kind: 'retry-info', retryDelayMilliseconds }], cause });
    this.name = 'CarrierAwayError';
  }
}

/** What an idle bot can run. */
export interface WorkInterest {
  readonly instanceName: string;
  readonly capability: Capability;
}

/** What a carrier needs to know of a message to tell whether it is gone. */
export type OfferedWork = Pick<WorkMessage, 'jobId' | 'priority' | 'offeredAt'>;

/** A work message in hand. Exactly one of the two verbs must be called. */
export interface WorkDelivery {
  readonly work: WorkMessage;
  /** The assignment stands, or the message is void. */
  acknowledge(): void;
  /** The message could not be placed: back to its place in the queue, for anyone. */
  giveBack(): void;
}

/**
 * A work message that its queue gave up.
 *
 * - `expired`: it waited as long as the queue's policy allows.
 * - `overflow`: the queue's policy pushed it out for others.
 * - `misplaced`: it lay where no bot fits it, as when it was moved to another queue.
 * - `too-often`: it went back to its queue more often than the queue allows.
 */
export interface ReturnedWork {
  readonly work: WorkMessage;
  readonly why: 'expired' | 'overflow' | 'misplaced' | 'too-often';
}

/** What one replica tells another. Hints: who gets one reads the record. */
export type ReplicaUpdate =
  | { readonly kind: 'job-changed'; readonly jobId: string; readonly version: number }
  | { readonly kind: 'lease-ended'; readonly botSessionName: string; readonly leaseId: string }
  /** The bot has made another call elsewhere: the one that is named speaks for it no more. */
  | { readonly kind: 'poll-superseded'; readonly botSessionName: string; readonly pollId: string }
  /** By the carrier itself, which was away for a time: what was sent to this replica meanwhile is lost. */
  | { readonly kind: 'updates-lost' };

/** What the tap shows: one for every change of a job's state. */
export interface JobEventMessage extends BuildLabels {
  readonly jobId: string;
  readonly instanceName: string;
  readonly state: JobState;
  readonly attempts: number;
  readonly actionDigest: PlainDigest;
  readonly requirement: string;
  readonly botId: string | undefined;
  readonly at: number;
}

/** A job that nobody will run any more unless an operator sends it again. */
export interface DeadLetter {
  readonly work: WorkMessage;
  readonly reason: string;
  /** When it was written. Milliseconds since the epoch. */
  readonly at: number;
}

export interface WorkQueueState {
  readonly queue: WorkQueueName;
  readonly waiting: number;
  /** Bots of this replica that wait and fit. */
  readonly idleBots: number;
  readonly paused: boolean;
}

/**
 * What carries work to bots, and hints between replicas.
 *
 * Nothing that it does decides anything: messages may be lost, doubled, late or out of order.
 *
 * Rules that every implementation keeps, and that its suite checks:
 * - A bot gets only work whose requirement its capability covers, in its instance; lower priority numbers first, ties
 *   by time of queueing, across all queues that it fits as well as the carrier can.
 * - Work that waits goes to a bot that fits and waits, with no poll in between.
 * - One delivery at a time for one message; what is given back goes to another.
 * - The cost of a message does not grow with the number of messages, queues or bots.
 */
export interface Broker {
  /**
   * Offers work; resolves once the carrier has it. The same job again takes the place of the earlier offer where the
   * carrier can do that.
   *
   * @throws RESOURCE_EXHAUSTED with RetryInfo when the queue is full; UNAVAILABLE with RetryInfo when the carrier takes
   *   nothing; CarrierAwayError when it can't be reached.
   */
  offerWork(work: WorkMessage, signal: AbortSignal): Promise<void>;

  /** The offer is void. A carrier that cannot take it back does nothing. */
  withdrawWork(queue: WorkQueueName, jobId: string): void;

  /**
   * Those of the jobs that wait in a queue whose message is gone, as far as the carrier can tell: the queue was purged or
   * deleted, its messages were moved, or the carrier lost it. What is told may be some seconds old. A message that is
   * gone may go unnoticed while its queue neither falls empty nor hands out a younger one of its priority; a job that
   * nobody would have been given in that time loses nothing by it.
   *
   * @throws UNAVAILABLE with RetryInfo when the carrier can't be reached.
   */
  findLost<Offered extends OfferedWork>(
    queue: WorkQueueName,
    offered: readonly Offered[],
    signal: AbortSignal,
  ): Promise<readonly Offered[]>;

  /**
   * Calls the listener for every message that its queue gave up. UNAVAILABLE and RESOURCE_EXHAUSTED bring the message back
   * to it later.
   *
   * @returns how to stop it.
   */
  onReturned(listener: (returned: ReturnedWork) => Promise<void>): () => void;

  /** The best work that waits for such a bot now, or undefined. */
  takeNow(interest: WorkInterest, signal: AbortSignal): Promise<WorkDelivery | undefined>;

  /** The next work for such a bot. Waits until the signal is aborted. @throws the signal's reason. */
  takeNext(interest: WorkInterest, signal: AbortSignal): Promise<WorkDelivery>;

  /** A paused queue takes work and hands out nothing. Farm-wide, and kept. */
  setPaused(queue: WorkQueueName, paused: boolean, signal: AbortSignal): Promise<void>;

  /** The queues that are known, in no order. */
  queues(signal: AbortSignal): Promise<readonly WorkQueueState[]>;

  /**
   * Tells other replicas. May be lost. Never throws.
   *
   * @param patience for how many milliseconds it may wait for other updates to go with it. Defaults to 0.
   */
  publishUpdate(replicaIds: readonly string[], update: ReplicaUpdate, patience?: number): void;

  /** Calls the listener for every update sent to this replica. @returns how to stop it. */
  onUpdate(replicaId: string, listener: (update: ReplicaUpdate) => void): () => void;

  /** Whether anyone would see an event; saves making them. */
  readonly eventsWanted: boolean;
  /** Shows an event to whoever taps. May be lost. Never throws. */
  publishEvent(event: JobEventMessage): void;

  /** Puts a letter where operators find it. @throws as `offerWork`. */
  publishDeadLetter(letter: DeadLetter): Promise<void>;

  /**
   * Shows dead letters to `visit`, the oldest first and `limit` at most, and takes out each that `visit` says to remove
   * once it has said so. What is kept stays in its place.
   *
   * @throws what `visit` throws, which keeps the letter; UNAVAILABLE with RetryInfo when the carrier can't be reached.
   */
  visitDeadLetters(
    visit: (letter: DeadLetter) => Promise<'keep' | 'remove'>,
    limit: number,
    signal: AbortSignal,
  ): Promise<void>;

  /** Has the action of a dead letter executed again, by whoever listens. @throws as `offerWork`. */
  redeliver(work: WorkMessage, signal: AbortSignal): Promise<void>;

  /**
   * Calls the listener for every message that was redelivered; one listener in a process, one replica for a message.
   * UNAVAILABLE and RESOURCE_EXHAUSTED bring the message back to it later.
   *
   * @returns how to stop it.
   */
  onRedelivery(listener: (work: WorkMessage) => Promise<void>): () => void;
}
