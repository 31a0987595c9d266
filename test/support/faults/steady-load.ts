import type { WireClient } from '../wire-client.ts';
import { BrokenPromises } from './broken-promises.ts';
import type { Fault } from './fault.ts';
import { SIMULATED_PLATFORM, WORKER_PLATFORM } from './fault-farm.ts';
import { answerTo, type CheckedExecution } from './known-answers.ts';
import { LoadBuild } from './load-build.ts';
import { LoadClient } from './load-client.ts';
import type { SideLoad } from './side-load.ts';

export interface SteadyLoadOptions {
  readonly replicas: readonly WireClient[];
  readonly random: () => number;
  /** Milliseconds that any action may take. */
  readonly bound: number;
  /** Actions for simulated bots under way at once. Defaults to 8; one more and a build run on the real worker. */
  readonly concurrency?: number;
  /** What is done beside executing. */
  readonly beside: readonly SideLoad[];
}

/** Numbers of actions and builds are below this. */
const NUMBERS = 1_000_000_000;

/** What a load amounted to. */
export interface LoadReport {
  /** Those of builds included. */
  readonly actions: number;
  readonly onWorker: number;
  readonly builds: number;
  readonly operations: number;
  readonly retries: number;
  readonly slowestMilliseconds: number;
  /** How much was done beside executing, by kind. */
  readonly beside: Readonly<Record<string, number>>;
}

/**
 * Clients that execute one action after another, and one build after another, with answers that are known beforehand.
 *
 * Most actions are done by simulated bots, whose answer is a function of the action; some are commands that a real worker
 * runs, as are those of the builds.
 */
export class SteadyLoad {
  readonly #options: SteadyLoadOptions;
  readonly #client: LoadClient;
  readonly #done: CheckedExecution[] = [];
  readonly #failures: unknown[] = [];
  readonly #running: ReadonlyArray<Promise<void>>;
  #onWorker = 0;
  #builds = 0;
  #stopped = false;

  constructor(options: SteadyLoadOptions) {
    this.#options = options;
    this.#client = new LoadClient(options);
    const simulated = Array.from({ length: options.concurrency ?? 8 }, () => this.#loop(() => this.#simulated()));
    this.#running = [
      ...simulated,
      this.#loop(() => this.#commanded()),
      this.#loop(() => this.#built()),
      ...options.beside.map((each) => this.#loop(() => each.next())),
    ];
  }

  /** Actions that have their answer so far. */
  get finished(): number {
    return this.#done.length;
  }

  /** What clients wait for now. */
  get waiting(): string[] {
    return [this.#client, ...this.#options.beside].flatMap(({ waiting }) => waiting);
  }

  /** Why it can't go on, if anything failed. */
  get failed(): boolean {
    return this.#failures.length > 0;
  }

  /** Begins no more, and waits for what is under way. @throws the first failure. */
  async finish(): Promise<LoadReport> {
    this.#stopped = true;
    await Promise.all(this.#running);
    if (this.failed) throw this.#failures[0];
    const retries = [
      ...this.#done.map(({ execution }) => execution.retries.length),
      ...this.#options.beside.map((each) => each.retries),
    ];
    return {
      actions: this.#done.length,
      onWorker: this.#onWorker,
      builds: this.#builds,
      operations: this.#done.reduce((sum, { execution }) => sum + execution.operations.size, 0),
      retries: retries.reduce((sum, count) => sum + count, 0),
      slowestMilliseconds: Math.round(Math.max(0, ...this.#done.map(({ execution }) => execution.milliseconds))),
      beside: Object.fromEntries(this.#options.beside.map(({ kind, finished }) => [kind, finished])),
    };
  }

  /**
   * What of the promises does not hold.
   *
   * @param forgets what the fault may have cost.
   */
  async broken(forgets?: Fault['forgets']): Promise<string[]> {
    const { replicas, random, beside } = this.#options;
    const anyReplica = () => replicas[Math.floor(random() * replicas.length)] as WireClient;
    const found = await new BrokenPromises(anyReplica, forgets).of(this.#done);
    for (const each of beside) found.push(...(await each.broken()));
    return found;
  }

  async #loop(one: () => Promise<void>): Promise<void> {
    while (!this.#stopped && !this.failed) {
      try {
        await one();
      } catch (error) {
        this.#failures.push(error);
      }
    }
  }

  async #simulated(): Promise<void> {
    const execution = await this.#client.execute({ action: { platform: SIMULATED_PLATFORM } }, this.#options.bound);
    this.#done.push({ execution, right: answerTo(execution.action) });
  }

  async #commanded(): Promise<void> {
    const number = this.#anyNumber();
    const command = { arguments: ['/bin/sh', '-c', `sleep 0.2; echo $((${number} * 3))`] };
    const wish = { command, action: { platform: WORKER_PLATFORM } };
    const execution = await this.#client.execute(wish, this.#options.bound);
    this.#onWorker += 1;
    this.#done.push({ execution, right: { exitCode: 0, stdout: `${number * 3}\n` } });
  }

  async #built(): Promise<void> {
    const executions = await new LoadBuild(this.#client, this.#options.bound).run(this.#anyNumber());
    this.#builds += 1;
    this.#onWorker += executions.filter(({ execution }) => !execution.response.cachedResult).length;
    this.#done.push(...executions);
  }

  #anyNumber(): number {
    return Math.floor(this.#options.random() * NUMBERS);
  }
}
