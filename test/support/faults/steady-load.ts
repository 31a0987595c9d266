import { status as statusCodes } from '@grpc/grpc-js';
import { ActionResult, ExecuteResponse } from '../../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { GetOperationRequest, OperationsService } from '../../../src/proto/google/longrunning/operations.ts';
import { Tenant } from '../tenant.ts';
import type { WireClient } from '../wire-client.ts';
import type { Fault } from './fault.ts';
import { SIMULATED_PLATFORM, WORKER_PLATFORM } from './fault-farm.ts';
import { answerOf, answerTo, type KnownAnswer } from './known-answers.ts';
import { type Execution, LoadClient } from './load-client.ts';

export interface SteadyLoadOptions {
  readonly replicas: readonly WireClient[];
  readonly random: () => number;
  /** Milliseconds that any action may take. */
  readonly bound: number;
  /** Actions for simulated bots under way at once. Defaults to 8; one more runs on the real worker. */
  readonly concurrency?: number;
}

const CHECKED_AT_ONCE = 16;

/** An execution, and the answer that it must have. */
interface Checked {
  readonly execution: Execution;
  readonly right: KnownAnswer;
}

/** What a load amounted to. */
export interface LoadReport {
  readonly actions: number;
  readonly onWorker: number;
  readonly operations: number;
  readonly retries: number;
  readonly slowestMilliseconds: number;
}

/**
 * Clients that execute one action after another, with answers that are known beforehand.
 *
 * Most are done by simulated bots, whose answer is a function of the action; some are commands that a real worker runs.
 */
export class SteadyLoad {
  readonly #options: SteadyLoadOptions;
  readonly #client: LoadClient;
  readonly #done: Checked[] = [];
  readonly #failures: unknown[] = [];
  readonly #running: ReadonlyArray<Promise<void>>;
  #onWorker = 0;
  #stopped = false;

  constructor(options: SteadyLoadOptions) {
    this.#options = options;
    this.#client = new LoadClient(options);
    const simulated = Array.from({ length: options.concurrency ?? 8 }, () => this.#loop(() => this.#simulated()));
    this.#running = [...simulated, this.#loop(() => this.#commanded())];
  }

  /** Actions that have their answer so far. */
  get finished(): number {
    return this.#done.length;
  }

  /** What clients wait for now. */
  get waiting(): string[] {
    return this.#client.waiting;
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
    return {
      actions: this.#done.length,
      onWorker: this.#onWorker,
      operations: this.#done.reduce((sum, { execution }) => sum + execution.operations.size, 0),
      retries: this.#done.reduce((sum, { execution }) => sum + execution.retries.length, 0),
      slowestMilliseconds: Math.round(Math.max(0, ...this.#done.map(({ execution }) => execution.milliseconds))),
    };
  }

  /**
   * What of the promises does not hold: that every answer is right, that each operation has one end and keeps it, that no
   * result is lost.
   *
   * @param forgets what the fault may have cost.
   */
  async broken(forgets?: Fault['forgets']): Promise<string[]> {
    const found: string[] = [];
    for (let i = 0; i < this.#done.length; i += CHECKED_AT_ONCE) {
      const some = this.#done.slice(i, i + CHECKED_AT_ONCE).map((each) => this.#brokenOf(each, forgets));
      found.push(...(await Promise.all(some)).flat());
    }
    return found;
  }

  async #brokenOf({ execution, right }: Checked, forgets: Fault['forgets']): Promise<string[]> {
    const { action, response, retries } = execution;
    const found: string[] = [];
    if ((response.status?.code ?? 0) !== 0) {
      found.push(`${action.hash} ended with ${statusCodes[response.status?.code ?? 0]} ${response.status?.message}`);
    } else if (!isRight(answerOf(response.result), right)) {
      found.push(`${action.hash} has a wrong answer: ${JSON.stringify(answerOf(response.result))}`);
    }
    found.push(...(await this.#brokenEnds(execution, forgets)));
    if (right.exitCode === 0 && forgets !== 'cached results') found.push(...(await this.#lostResult(execution, right)));
    return found.map((each) => [each, ...retries].join('\n  '));
  }

  async #brokenEnds({ action, operations }: Execution, forgets: Fault['forgets']): Promise<string[]> {
    const found: string[] = [];
    for (const [name, seen] of operations) {
      const known = await this.#anyReplica()
        .unary(OperationsService.getOperation, GetOperationRequest.create({ name }))
        .catch((error: unknown) => {
          if ((error as { code?: number }).code === statusCodes.NOT_FOUND) return undefined;
          throw error;
        });
      const about = `operation ${name} of ${action.hash}`;
      if (known === undefined) {
        if (forgets !== 'operations') found.push(`${about} is not known any more`);
      } else if (!known.done) found.push(`${about} has no end`);
      else if (seen?.done === true && !sameResponse(seen, known)) found.push(`${about} has two ends`);
    }
    return found;
  }

  async #lostResult({ action }: Execution, right: KnownAnswer): Promise<string[]> {
    const tenant = new Tenant(this.#anyReplica(), '');
    const result = await tenant.getActionResult(action, { inlineStdout: true }).catch((error: unknown) => {
      if ((error as { code?: number }).code === statusCodes.NOT_FOUND) return undefined;
      throw error;
    });
    return isRight(answerOf(result), right) ? [] : [`the result of ${action.hash} is lost`];
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
    const number = Math.floor(this.#options.random() * 1_000_000);
    const command = { arguments: ['/bin/sh', '-c', `sleep 0.2; echo $((${number} * 3))`] };
    const wish = { command, action: { platform: WORKER_PLATFORM } };
    const execution = await this.#client.execute(wish, this.#options.bound);
    this.#onWorker += 1;
    this.#done.push({ execution, right: { exitCode: 0, stdout: `${number * 3}\n` } });
  }

  #anyReplica(): WireClient {
    const { replicas, random } = this.#options;
    return replicas[Math.floor(random() * replicas.length)] as WireClient;
  }
}

function isRight(answer: KnownAnswer | undefined, right: KnownAnswer): boolean {
  return answer?.exitCode === right.exitCode && answer.stdout === right.stdout;
}

type Ended = NonNullable<Parameters<typeof responseOf>[0]>;

function sameResponse(one: Ended, other: Ended): boolean {
  const [a, b] = [responseOf(one), responseOf(other)];
  if (a.status?.code !== b.status?.code || (a.result === undefined) !== (b.result === undefined)) return false;
  if (a.result === undefined || b.result === undefined) return true;
  return Buffer.from(ActionResult.encode(a.result).finish()).equals(ActionResult.encode(b.result).finish());
}

function responseOf(operation: { readonly result?: { readonly $case: string; readonly value: unknown } | undefined }) {
  const value = (operation.result?.value as { readonly value?: Uint8Array } | undefined)?.value;
  return ExecuteResponse.decode(value ?? new Uint8Array(0));
}
