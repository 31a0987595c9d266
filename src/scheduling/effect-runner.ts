import type { BotSession } from '../domain/bot-session.ts';
import { isFinished, type Job } from '../domain/job.ts';
import type { JobEffect } from '../domain/job-machine/effect.ts';
import type { JobEvent, OfferLoss } from '../domain/job-machine/event.ts';
import { buildLabels, offer } from '../domain/job-machine/tell.ts';
import { parseLeaseId } from '../domain/lease.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { LruMap } from '../lib/lru-map.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';
import { type Broker, CarrierAwayError, type ReplicaUpdate, type ReturnedWork } from '../ports/broker.ts';
import { type AppliedEvent, type DueLook, dueLook, type JobStore } from '../ports/job-store.ts';
import type { LeasedJobs } from './leased-jobs.ts';
import { Looking, type OfferName } from './looking.ts';
import type { PollRegistry } from './poll-registry.ts';
import type { SchedulingSettings } from './settings.ts';
import type { Settling } from './settling.ts';
import type { WatchHub } from './watch-hub.ts';

export interface EffectRunnerOptions {
  readonly jobs: JobStore;
  readonly sessions: BotSessionStore;
  readonly broker: Broker;
  readonly hub: WatchHub;
  readonly polls: PollRegistry;
  readonly settling: Settling;
  readonly leased: LeasedJobs;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly replicaId: string;
  /** What becomes of a job whose message is gone. */
  readonly lostWork: SchedulingSettings['lostWork'];
}

/** The version of a record that is gone: younger than any that a watcher knows. */
const FORGOTTEN = Number.MAX_SAFE_INTEGER;

/** How late another replica's clients may hear of a change that is not the end of their job, in milliseconds. */
const STAGE_PATIENCE = 20;

/**
 * How late clients hear that a bot has taken their job, in milliseconds: people don't see the difference, and of an action
 * that has ended by then they hear just that. Otherwise a third of all that clients are told of short actions is this.
 */
const LEASE_PATIENCE = 100;

/** How soon what comes back from its queue is offered again for a second time, in milliseconds. */
const RESENT_AGAIN_AFTER = 10_000;

/** Jobs that are remembered for that. */
const RESENT_KEPT = 10_000;

/**
 * Carries out what must follow a change of a job: write, then tell.
 *
 * Watchers and polls of this replica are told directly, those of others through the broker.
 */
export class EffectRunner {
  readonly #options: EffectRunnerOptions;
  readonly #looking: Looking;
  readonly #never = new AbortController().signal;
  /** By job: when its message came back from a queue, and it was offered again. */
  readonly #resent = new LruMap<string, number>(RESENT_KEPT);
  /** By job: when its watchers are told that a bot has it, and how. */
  readonly #untold = new Map<string, { readonly timer: Timer; readonly tell: () => void }>();

  constructor(options: EffectRunnerOptions) {
    this.#options = options;
    this.#looking = new Looking({
      ...options,
      apply: (jobId, event) => this.apply(jobId, event, this.#never),
      loseOffer: (offered, loss) => this.#loseOffer(offered, loss),
    });
  }

  /** Applies an event and carries out its effects. Undefined where the job is not known. */
  async apply(jobId: string, event: JobEvent, signal: AbortSignal): Promise<AppliedEvent | undefined> {
    const { jobs, settling, leased } = this.#options;
    const applied = await jobs.apply(jobId, event, signal);
    if (applied === undefined) return undefined;
    if (event.type === 'lease' && applied.accepted) settling.drop(jobId);
    if (applied.job?.lease === undefined) leased.forget(jobId);
    this.runLater(jobId, applied, event.type === 'lease' ? LEASE_PATIENCE : 0);
    return applied;
  }

  /**
   * Carries out effects without waiting; what fails is logged, and comes up again by its deadline.
   *
   * @param patience for how many milliseconds watchers need not be told, should more have become of the job by then.
   */
  runLater(jobId: string, applied: AppliedEvent, patience = 0): void {
    if (applied.effects.length === 0) return;
    this.run(jobId, applied, patience).catch((cause: unknown) => {
      // Once is enough: the carrier's own log has it, and a farm may have many jobs.
      if (cause instanceof CarrierAwayError) return;
      this.#options.logger.warn({ jobId, err: cause }, 'could not carry out what follows a change; it will be redone');
    });
  }

  /** @throws what the broker throws on an offer or a dead letter, once all effects were tried. */
  async run(jobId: string, { job, effects }: AppliedEvent, patience = 0): Promise<void> {
    if (effects.length === 0) return;
    let mustSettle = false;
    const failures: unknown[] = [];
    for (const effect of effects) {
      mustSettle ||= effect.type === 'offer' || effect.type === 'dead-letter';
      // What can't be told to the one is told to the others all the same.
      await this.#carryOut(jobId, job, effect, patience).catch((cause: unknown) => failures.push(cause));
    }
    if (failures.length > 0) throw failures[0];
    if (mustSettle && job !== undefined) this.#options.settling.add(jobId, job.version);
  }

  /** Tells watchers now of what they would hear soon. */
  flush(): void {
    for (const { timer, tell } of this.#untold.values()) {
      timer.cancel();
      tell();
    }
  }

  /** Takes in what another replica tells. */
  async receive(update: ReplicaUpdate): Promise<void> {
    switch (update.kind) {
      case 'job-changed':
        await this.#options.hub.jobChangedElsewhere(update.jobId, update.version);
        break;
      case 'lease-ended':
        this.#leaseEnded(update.botSessionName, update.leaseId);
        break;
      case 'poll-superseded':
        this.#options.polls.supersede(update.botSessionName, update.pollId);
        break;
      case 'updates-lost':
        this.#options.hub.catchUp();
        break;
    }
  }

  /** A bot has called here: the call that spoke for it until now ends, should another replica hold it. */
  supersedeElsewhere(botSessionName: string, before: Pick<BotSession, 'pollId' | 'replicaId'> | undefined): void {
    const { broker, replicaId } = this.#options;
    if (before === undefined || before.replicaId === replicaId) return;
    broker.publishUpdate([before.replicaId], { kind: 'poll-superseded', botSessionName, pollId: before.pollId });
  }

  /** Looks whether bots fit what waits, and whether its messages are still there. What fails is logged. */
  lookAt(looks: readonly DueLook[]): Promise<void> {
    return this.#looking.lookAt(looks);
  }

  /** Takes in that a work queue gave a message up. */
  async takeBack({ work, why }: ReturnedWork): Promise<void> {
    const { jobId } = work;
    const loss = this.#lossOf(why);
    if (loss === 'resend') {
      // What is back at once, as where an operator moves messages on and on to where no bot fits them, would go round at
      // full speed. It is left to the next look at what waits.
      if (this.#wasJustResent(jobId)) return;
      this.#resent.set(jobId, this.#options.clock.monotonic());
    }
    try {
      await this.#loseOffer(work, loss);
    } catch (cause) {
      this.#resent.delete(jobId);
      throw cause;
    }
  }

  #wasJustResent(jobId: string): boolean {
    const before = this.#resent.get(jobId);
    return before !== undefined && this.#options.clock.monotonic() - before < RESENT_AGAIN_AFTER;
  }

  #lossOf(why: ReturnedWork['why']): OfferLoss {
    if (why === 'misplaced') return this.#options.lostWork;
    // Nobody wanted to be rid of it: replicas have died, or bots have gone, with it in hand.
    return why === 'too-often' ? 'resend' : why;
  }

  async #carryOut(jobId: string, job: Job | undefined, effect: JobEffect, patience: number): Promise<void> {
    const { broker } = this.#options;
    switch (effect.type) {
      case 'offer':
        await broker.offerWork(effect.work, this.#never);
        break;
      case 'withdraw':
        broker.withdrawWork(effect.queue, jobId);
        break;
      case 'notify':
        this.#tellWatchersBy(patience, jobId, job, effect.replicaIds);
        if (job !== undefined) this.#tellOperators(job);
        break;
      case 'end-lease':
        await this.#endLease(effect.botSessionName, effect.leaseId);
        break;
      case 'dead-letter':
        if (job !== undefined) await this.#deadLetter(job, effect.reason);
        break;
      case 'check-fit':
        // The look itself, just now, has put off the next one by the grace.
        if (job !== undefined) await this.lookAt([dueLook(job, job.fitCheckAt - job.policy.unservedGrace)]);
        break;
    }
  }

  /** What was not told yet is older, and left out. */
  #tellWatchersBy(patience: number, jobId: string, job: Job | undefined, replicaIds: readonly string[]): void {
    this.#untold.get(jobId)?.timer.cancel();
    const tell = () => {
      this.#untold.delete(jobId);
      this.#tellWatchers(jobId, job, replicaIds);
    };
    if (patience === 0) tell();
    else this.#untold.set(jobId, { timer: this.#options.clock.setTimer(patience, tell), tell });
  }

  #tellWatchers(jobId: string, job: Job | undefined, replicaIds: readonly string[]): void {
    const { broker, hub, replicaId } = this.#options;
    if (job === undefined) hub.jobGone(jobId);
    else hub.jobChanged(job);
    const others = replicaIds.filter((each) => each !== replicaId);
    if (others.length > 0) {
      const patience = job === undefined || isFinished(job) ? 0 : STAGE_PATIENCE;
      broker.publishUpdate(others, { kind: 'job-changed', jobId, version: job?.version ?? FORGOTTEN }, patience);
    }
  }

  #tellOperators(job: Job): void {
    const { broker, clock } = this.#options;
    if (!broker.eventsWanted) return;
    broker.publishEvent({
      jobId: job.id,
      instanceName: job.instanceName,
      state: job.state,
      attempts: job.attempts,
      actionDigest: job.actionDigest,
      requirement: job.requirement.key,
      botId: job.lease?.botId,
      at: clock.now(),
      ...buildLabels(job),
    });
  }

  /** @returns whether the bot's call waits at this replica, and is answered now. */
  #leaseEnded(botSessionName: string, leaseId: string): boolean {
    const { polls, leased } = this.#options;
    const lease = parseLeaseId(leaseId);
    if (lease !== undefined) leased.forget(lease.jobId);
    return polls.wake(botSessionName);
  }

  async #endLease(botSessionName: string, leaseId: string): Promise<void> {
    const { broker, sessions, replicaId } = this.#options;
    if (this.#leaseEnded(botSessionName, leaseId)) return;
    const session = await sessions.get(botSessionName, this.#never);
    if (session === undefined || session.replicaId === replicaId) return;
    broker.publishUpdate([session.replicaId], { kind: 'lease-ended', botSessionName, leaseId });
  }

  async #deadLetter(job: Job, reason: string): Promise<void> {
    const effect = offer(job);
    if (effect.type !== 'offer') return;
    const { broker, clock, logger } = this.#options;
    const work = { ...effect.work, attempt: Math.max(1, job.attempts) };
    await broker.publishDeadLetter({ work, reason, at: clock.now() });
    logger.warn({ jobId: job.id, reason }, 'a job failed');
  }

  /** @throws what the broker throws on what follows. */
  async #loseOffer({ jobId, attempt, offeredAt }: OfferName, loss: OfferLoss): Promise<void> {
    const { jobs, logger } = this.#options;
    const applied = await jobs.apply(jobId, { type: 'offer-lost', attempt, offeredAt, loss }, this.#never);
    if (applied === undefined || !applied.accepted) return;
    logger.info({ jobId, loss }, 'the work message of a job that waits is gone');
    await this.run(jobId, applied);
  }
}
