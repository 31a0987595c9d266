import { randomUUID } from 'node:crypto';
import { status as statusCodes } from '@grpc/grpc-js';
import { linkSignals } from '../../../src/lib/abort.ts';
import {
  type BotSession,
  type Lease,
  LeaseState,
} from '../../../src/proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { active, completed, leasedAction, SimulatedBot } from '../simulated-bot.ts';
import type { WireClient } from '../wire-client.ts';
import { answerTo } from './known-answers.ts';

export interface AnsweringBotOptions {
  /** One for each replica: calls go to them at random. */
  readonly replicas: readonly WireClient[];
  readonly properties: ReadonlyArray<readonly [key: string, value: string]>;
  readonly capacity: number;
  readonly random: () => number;
  /** How long an action takes, in milliseconds. */
  readonly work: () => number;
  /** Each call's deadline, in milliseconds. Defaults to 5000. */
  readonly pollMilliseconds?: number;
  /** Told of every lease that is given. */
  readonly onLease?: (lease: Lease) => void;
}

/** What tells a bot that its session is none any more: it makes another, and its leases are void. */
const SESSION_LOST: ReadonlySet<number> = new Set([
  statusCodes.INVALID_ARGUMENT,
  statusCodes.NOT_FOUND,
  statusCodes.DATA_LOSS,
]);

const POLL_MS = 5_000;
const PAUSE_MS = 100;

/**
 * A bot that lives by itself: it polls, at another replica each time as the dice fall, takes leases, and answers them
 * after a while. Whatever a call fails with, it goes on as RWAPI wants it.
 */
export class AnsweringBot {
  readonly botId = `bot-${randomUUID()}`;
  readonly #options: AnsweringBotOptions;
  readonly #held = new Map<string, { readonly lease: Lease; readonly doneAt: number }>();
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;
  #session: BotSession | undefined;

  constructor(options: AnsweringBotOptions) {
    this.#options = options;
    this.#running = this.#run();
  }

  /** Goes away as a machine does whose power fails: without a word. */
  async vanish(): Promise<void> {
    this.#stopping.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    while (!signal.aborted) {
      // A call may be held for long: what is done meanwhile breaks it off and is reported by the next.
      const call = linkSignals(signal);
      const timer = setTimeout(() => call.abort(undefined), this.#untilDone(this.#pollMilliseconds));
      try {
        this.#take(await this.#call(call.signal));
      } catch (error) {
        if (signal.aborted) return;
        if (call.signal.aborted) continue;
        if (SESSION_LOST.has((error as { code?: number }).code ?? -1)) {
          this.#session = undefined;
          this.#held.clear();
        }
        await pause(PAUSE_MS, signal);
      } finally {
        clearTimeout(timer);
        call[Symbol.dispose]();
      }
      if (this.#held.size >= this.#options.capacity) await pause(this.#untilDone(0), signal);
    }
  }

  get #pollMilliseconds(): number {
    return this.#options.pollMilliseconds ?? POLL_MS;
  }

  /** Milliseconds until the next lease that still runs is done; `otherwise` where none does. */
  #untilDone(otherwise: number): number {
    const now = performance.now();
    const running = [...this.#held.values()].map(({ doneAt }) => doneAt - now).filter((each) => each > 0);
    return running.length === 0 ? otherwise : Math.min(...running);
  }

  async #call(signal: AbortSignal): Promise<BotSession> {
    const { replicas, properties, capacity, random } = this.#options;
    const replica = replicas[Math.floor(random() * replicas.length)] as WireClient;
    const bot = new SimulatedBot(replica, { botId: this.botId, properties, capacity });
    if (this.#session === undefined) return bot.create({}, { deadline: this.#pollMilliseconds, signal });
    bot.session = this.#session;
    const leases = [...this.#held.values()].map(({ lease, doneAt }) => {
      if (doneAt > performance.now()) return active(lease);
      const { exitCode, stdout } = answerTo(leasedAction(lease));
      return completed(lease, { exitCode, stdoutRaw: Buffer.from(stdout) });
    });
    return bot.update(leases, {}, { deadline: this.#pollMilliseconds, signal });
  }

  #take(session: BotSession): void {
    this.#session = session;
    const given = new Set(session.leases.map(({ id }) => id));
    for (const id of this.#held.keys()) if (!given.has(id)) this.#held.delete(id);
    for (const lease of session.leases) {
      if (lease.state === LeaseState.COMPLETED || this.#held.has(lease.id)) continue;
      this.#held.set(lease.id, { lease, doneAt: performance.now() + this.#options.work() });
      this.#options.onLease?.(lease);
    }
  }
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener('abort', done, { once: true });
  });
}
