import type { BotSession } from '../domain/bot-session.ts';
import { isFinished, type Job } from '../domain/job.ts';
import { isCurrentAttempt, wasAttempt } from '../domain/job-machine/complete.ts';
import { leaseId, parseLeaseId } from '../domain/lease.ts';
import type { Outcome } from '../domain/outcome.ts';
import type { JobStore } from '../ports/job-store.ts';
import type { EffectRunner } from './effect-runner.ts';
import type { LeasedJobs } from './leased-jobs.ts';
import type { SchedulingSettings } from './settings.ts';
import type { WatchHub } from './watch-hub.ts';

/** How a bot says that a lease stands. */
export type ReportedState = 'pending' | 'active' | 'completed' | 'cancelled';

/** What a finished attempt amounts to: the job's outcome, or nothing, so that another must try. */
export type Verdict =
  | { readonly kind: 'outcome'; readonly outcome: Outcome; readonly good: boolean }
  | { readonly kind: 'retry'; readonly reason: string };

/** A lease as a bot reports it. */
export interface ReportedLease {
  readonly id: string;
  readonly state: ReportedState;
  /** The encoded ExecutedActionMetadata, as far as the bot has got. */
  readonly partialMetadata: Uint8Array | undefined;
  /**
   * Works out what a completed lease amounts to. Called only for a lease that this bot holds or once held, of a job that
   * is unfinished as far as this replica knows: what the action cache is to know is written here, before the job
   * completes.
   */
  judge(job: Job, signal: AbortSignal): Promise<Verdict>;
}

/** A lease that the bot is to hold on to, or to hear of again. */
export interface HeldLease {
  readonly id: string;
  readonly job: Job;
  readonly state: 'pending' | 'active';
}

export interface Reconciled {
  readonly held: readonly HeldLease[];
  /** Leases to strike from the session. */
  readonly dropped: readonly string[];
  /** Whether the bot reported the end of any lease. */
  readonly completedAny: boolean;
}

export interface ReconcilingOptions {
  readonly jobs: JobStore;
  readonly effects: EffectRunner;
  readonly leased: LeasedJobs;
  readonly hub: Pick<WatchHub, 'latest'>;
  readonly settings: SchedulingSettings;
}

/**
 * Brings what a bot says it runs together with what is true.
 *
 * - A completed lease is dropped from the answer, whether it counted or not.
 * - A lease that is over (the job finished, was cancelled, went to another) is dropped: the bot stops.
 * - A cancelled lease is dropped, never echoed: bots forget a lease only when the answer leaves it out.
 * - A lease that the bot does not mention is sent again, since the answer that gave it may have been lost; a bot that is
 *   about to end gives it back instead.
 */
export class Reconciling {
  readonly #options: ReconcilingOptions;

  constructor(options: ReconcilingOptions) {
    this.#options = options;
  }

  async reconcile(session: BotSession, reported: readonly ReportedLease[], signal: AbortSignal): Promise<Reconciled> {
    const held: HeldLease[] = [];
    const dropped: string[] = [];
    let completedAny = false;
    await Promise.all(
      reported.map(async (lease) => {
        if (lease.state === 'completed') completedAny = true;
        const job = await this.#judge(session, lease, signal);
        if (job === undefined) dropped.push(lease.id);
        else held.push({ id: lease.id, job, state: job.state === 'executing' ? 'active' : 'pending' });
      }),
    );
    const mentioned = new Set(reported.map((each) => each.id));
    for (const id of session.leaseIds) {
      if (mentioned.has(id)) continue;
      const job = await this.#unmentioned(session, id, signal);
      if (job === undefined) dropped.push(id);
      else held.push({ id, job, state: 'pending' });
    }
    return { held, dropped, completedAny };
  }

  /** Renews a lease of which the bot says nothing now. @returns its job, if the bot still holds it. */
  renewUnheard(session: BotSession, id: string, signal: AbortSignal): Promise<Job | undefined> {
    return this.#renew(session, { id, state: 'pending', partialMetadata: undefined }, signal);
  }

  /** The job, if the bot is to keep the lease. */
  async #judge(session: BotSession, lease: ReportedLease, signal: AbortSignal): Promise<Job | undefined> {
    const name = parseLeaseId(lease.id);
    if (name === undefined) return undefined;
    switch (lease.state) {
      case 'completed':
        await this.#complete(session, name.jobId, name.attempt, lease, signal);
        return undefined;
      case 'cancelled':
        await this.#giveBack(session, lease.id, 'the bot cancelled the lease', signal);
        return undefined;
      case 'pending':
      case 'active':
        return this.#renew(session, lease, signal);
    }
  }

  async #complete(
    session: BotSession,
    jobId: string,
    attempt: number,
    lease: ReportedLease,
    signal: AbortSignal,
  ): Promise<void> {
    const { botId } = session;
    const job = this.#known(jobId, attempt, botId) ?? (await this.#options.jobs.get(jobId, signal));
    if (job === undefined || isFinished(job)) return;
    if (!isCurrentAttempt(job, attempt, botId) && !wasAttempt(job, attempt, botId)) return;
    const verdict = await lease.judge(job, signal);
    if (verdict.kind === 'retry') {
      await this.#giveBack(session, lease.id, verdict.reason, signal);
    } else {
      const { outcome, good } = verdict;
      await this.#options.effects.apply(jobId, { type: 'complete', attempt, botId, outcome, good }, signal);
    }
  }

  /**
   * The job, if the bot has it by this attempt as far as this replica knows: it gave the lease, or has a client that
   * follows it. Nothing is decided by it: the store refuses the result of a lease that is over.
   */
  #known(jobId: string, attempt: number, botId: string): Job | undefined {
    const { leased, hub } = this.#options;
    const given = leased.take(jobId, attempt, botId);
    if (given !== undefined) return given;
    const followed = hub.latest(jobId);
    return followed !== undefined && isCurrentAttempt(followed, attempt, botId) ? followed : undefined;
  }

  async #renew(
    session: BotSession,
    lease: Pick<ReportedLease, 'id' | 'state' | 'partialMetadata'>,
    signal: AbortSignal,
  ): Promise<Job | undefined> {
    const name = parseLeaseId(lease.id);
    if (name === undefined) return undefined;
    const applied = await this.#options.effects.apply(
      name.jobId,
      {
        type: 'renew',
        attempt: name.attempt,
        botId: session.botId,
        leaseMilliseconds: this.#options.settings.leaseTime,
        executing: lease.state === 'active',
        partialMetadata: lease.partialMetadata,
      },
      signal,
    );
    return applied?.accepted === true ? applied.job : undefined;
  }

  async #unmentioned(session: BotSession, id: string, signal: AbortSignal): Promise<Job | undefined> {
    if (session.health === 'terminating' || session.health === 'host-rebooting') {
      await this.#giveBack(session, id, 'the bot ended before it began', signal);
      return undefined;
    }
    return this.renewUnheard(session, id, signal);
  }

  async #giveBack(session: BotSession, id: string, reason: string, signal: AbortSignal): Promise<void> {
    const name = parseLeaseId(id);
    if (name === undefined) return;
    const event = { type: 'give-back', attempt: name.attempt, botId: session.botId, reason } as const;
    await this.#options.effects.apply(name.jobId, event, signal);
  }
}

/** A lease that was just given. */
export function freshLease(job: Job): HeldLease {
  return { id: leaseId(job.id, job.attempts), job, state: 'pending' };
}
