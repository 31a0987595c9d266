import { setMaxListeners } from 'node:events';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { Semaphore } from '../lib/semaphore.ts';
import type { BotLease, LeasePayload } from '../ports/bots-client.ts';
import type { LeaseOutcome, RunningLease } from './lease-runner.ts';

/** A lease that runs this long gets its timestamps reported while it runs. */
const PROGRESS_AFTER_MILLISECONDS = 1_000;

/** Starts leases: `LeaseRunner`, or a bot that only pretends. */
export interface LeaseStarter {
  start(leaseId: string, payload: LeasePayload | undefined, signal: AbortSignal): RunningLease;
}

interface HeldLease {
  readonly id: string;
  readonly payload: LeasePayload | undefined;
  readonly controller: AbortController;
  running: RunningLease | undefined;
  /** Set once it has ended. */
  outcome: LeaseOutcome | undefined;
}

/** The leases of one bot, reconciled with what its server says. */
export class HeldLeases {
  readonly #starter: LeaseStarter;
  readonly #slots: Semaphore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #leases = new Map<string, HeldLease>();
  readonly #unsettled = new Set<Promise<void>>();
  #refusing = false;
  #onNews: () => void = () => {};

  /** @param capacity how many run at once; a lease beyond it waits until one that was taken back is dead. */
  constructor(starter: LeaseStarter, capacity: number, clock: Clock, logger: Logger) {
    this.#starter = starter;
    this.#slots = new Semaphore(capacity);
    this.#clock = clock;
    this.#logger = logger;
  }

  /** How many leases the server and the bot have between them. */
  get size(): number {
    return this.#leases.size;
  }

  /** Sets what is called when there is something to report at once. */
  onNews(listener: () => void): void {
    this.#onNews = listener;
  }

  /** Leases that come from now on end at once with UNAVAILABLE. */
  refuseNew(): void {
    this.#refusing = true;
  }

  /** All leases as they stand. */
  report(): BotLease[] {
    return [...this.#leases.values()].map(({ id, payload, outcome }) =>
      outcome === undefined
        ? { id, state: 'active', payload }
        : { id, state: 'completed', payload, result: outcome.result, status: outcome.status },
    );
  }

  /** Encoded ExecutedActionMetadata of the leases that run. */
  partialMetadata(): Map<string, Uint8Array> {
    const metadata = new Map<string, Uint8Array>();
    for (const { id, running, outcome } of this.#leases.values()) {
      if (outcome === undefined && running !== undefined) metadata.set(id, running.partialMetadata());
    }
    return metadata;
  }

  /**
   * Does what the server says: starts leases that are new, kills those that it has cancelled or no longer names, and
   * forgets those that have ended and that it no longer names.
   */
  reconcile(leases: readonly BotLease[]): { readonly started: number; readonly ended: number } {
    const named = new Set<string>();
    let started = 0;
    let ended = 0;
    for (const { id, state, payload } of leases) {
      if (state === 'cancelled') continue;
      named.add(id);
      if (this.#leases.has(id) || (state !== 'pending' && state !== 'active')) continue;
      this.#start(id, payload);
      started += 1;
    }
    for (const lease of this.#leases.values()) {
      if (named.has(lease.id)) continue;
      this.#leases.delete(lease.id);
      ended += 1;
      if (lease.outcome === undefined) {
        this.#logger.info({ leaseId: lease.id }, 'the server has taken a lease back; killing it');
        lease.controller.abort(takenBack());
      }
    }
    return { started, ended };
  }

  /** Kills and forgets all leases. */
  killAll(): void {
    for (const { controller } of this.#leases.values()) controller.abort(takenBack());
    this.#leases.clear();
  }

  /** Resolves once nothing runs any more, killed leases included. */
  async settled(): Promise<void> {
    while (this.#unsettled.size > 0) await Promise.all(this.#unsettled);
  }

  #start(id: string, payload: LeasePayload | undefined): void {
    const lease: HeldLease = {
      id,
      payload,
      controller: new AbortController(),
      running: undefined,
      outcome: undefined,
    };
    // Each fetch and upload of the lease listens to it, a hundred at once.
    setMaxListeners(0, lease.controller.signal);
    this.#leases.set(id, lease);
    if (this.#refusing) {
      const status = new StatusError(StatusCode.UNAVAILABLE, 'the bot is about to stop and takes no more leases');
      this.#end(lease, { result: undefined, status });
      return;
    }
    const progress: Timer = this.#clock.setTimer(PROGRESS_AFTER_MILLISECONDS, () => this.#onNews());
    const { signal } = lease.controller;
    const unsettled = this.#slots
      .run(async () => {
        lease.running = this.#starter.start(id, payload, signal);
        this.#end(lease, await lease.running.outcome);
      }, signal)
      .catch((thrown: unknown) => this.#end(lease, { result: undefined, status: StatusError.from(thrown) }))
      .finally(() => {
        progress.cancel();
        this.#unsettled.delete(unsettled);
      });
    this.#unsettled.add(unsettled);
  }

  #end(lease: HeldLease, outcome: LeaseOutcome): void {
    lease.outcome = outcome;
    if (this.#leases.get(lease.id) === lease) this.#onNews();
  }
}

function takenBack(): StatusError {
  return new StatusError(StatusCode.CANCELLED, 'the lease was taken back');
}
