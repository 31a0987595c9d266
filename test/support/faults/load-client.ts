import { status as statusCodes } from '@grpc/grpc-js';
import { type Digest, ExecuteResponse } from '../../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Operation } from '../../../src/proto/google/longrunning/operations.ts';
import { type ActionOptions, prepareAction, Tenant } from '../tenant.ts';
import type { WireClient } from '../wire-client.ts';
import { Attempts, codeOf, unlessNotFound } from './attempts.ts';

/** What a client sees of one action from beginning to end. */
export interface Execution {
  readonly action: Digest;
  /** Operations that it was given, with the last that each of them told; none where the action cache had the answer. */
  readonly operations: Map<string, Operation | undefined>;
  /** Calls that failed and were made again. */
  readonly retries: readonly string[];
  readonly response: ExecuteResponse;
  readonly milliseconds: number;
}

export interface LoadClientOptions {
  /** One for each replica: every call goes to one of them at random. */
  readonly replicas: readonly WireClient[];
  readonly random: () => number;
}

export interface ExecuteOptions extends ActionOptions {
  /** Whether the action cache is asked before anything is uploaded, as Bazel does. Defaults to no. */
  readonly looksUp?: boolean;
}

/** Beyond every bound: a server that lets its client hang is not to be helped by the client's own patience. */
const CALL_MS = 300_000;

/**
 * A client that executes as Bazel does: a stream that breaks is taken up by WaitExecution at another replica; where the
 * operation is not known any more, the action is executed anew.
 */
export class LoadClient {
  readonly #tenants: readonly Tenant[];
  readonly #random: () => number;
  readonly #underWay = new Set<Attempts>();

  constructor({ replicas, random }: LoadClientOptions) {
    this.#tenants = replicas.map((each) => new Tenant(each, ''));
    this.#random = random;
  }

  /** What waits for an answer now, since when, and what went before. */
  get waiting(): string[] {
    return [...this.#underWay].map(({ waiting }) => waiting);
  }

  /**
   * Uploads an action and executes it, unless its result is cached and was asked for.
   *
   * @param bound milliseconds that it may take in all.
   * @throws Error when it takes longer, or when a call fails with what no client tries again.
   */
  execute({ looksUp = false, ...options }: ExecuteOptions, bound: number): Promise<Execution> {
    const prepared = prepareAction(options);
    const action = prepared.action.digest;
    return this.#within(new Attempts(`action ${action.hash}`, bound), async (attempts) => {
      if (looksUp) {
        const result = await attempts.call('GetActionResult', () =>
          unlessNotFound(this.#anyTenant().getActionResult(action, { inlineStdout: true })),
        );
        if (result !== undefined) {
          const response = ExecuteResponse.create({ result, cachedResult: true });
          const { retries, milliseconds } = attempts;
          return { action, operations: new Map(), retries, response, milliseconds };
        }
      }
      await attempts.call('upload', () => this.#anyTenant().upload(...prepared.blobs));
      return this.#follow(action, attempts);
    });
  }

  /** Reads a blob that must be there. @throws as `execute`. */
  read(digest: Digest, bound: number): Promise<Buffer> {
    return this.#within(new Attempts(`blob ${digest.hash}`, bound), (attempts) =>
      attempts.call('Read', () => {
        const tenant = this.#anyTenant();
        return tenant.read(tenant.readName(digest));
      }),
    );
  }

  async #within<T>(attempts: Attempts, run: (attempts: Attempts) => Promise<T>): Promise<T> {
    this.#underWay.add(attempts);
    try {
      return await run(attempts);
    } finally {
      this.#underWay.delete(attempts);
    }
  }

  async #follow(action: Digest, attempts: Attempts): Promise<Execution> {
    const { retries } = attempts;
    const operations = new Map<string, Operation | undefined>();
    let name: string | undefined;
    for (;;) {
      const tenant = this.#anyTenant();
      const call = { deadline: CALL_MS };
      const where = `at replica ${this.#tenants.indexOf(tenant) + 1}`;
      attempts.step(name === undefined ? `Execute ${where}` : `WaitExecution of ${name} ${where}`);
      const stream =
        name === undefined ? tenant.execute(action, { inlineStdout: true }, call) : tenant.waitExecution(name, call);
      try {
        for (;;) {
          const update = await stream.next();
          if (update === undefined) throw new Error(`the stream of ${action.hash} ended without a response`);
          name = update.operation.name;
          if (!operations.has(name)) attempts.step(`follows ${name} ${where}`);
          operations.set(name, update.operation);
          if (update.response === undefined) continue;
          return { action, operations, retries, response: update.response, milliseconds: attempts.milliseconds };
        }
      } catch (error) {
        if (name !== undefined && codeOf(error) === statusCodes.NOT_FOUND) {
          retries.push(`${name} is not known any more`);
          name = undefined;
        } else {
          await attempts.pauseAfter(name === undefined ? 'Execute' : 'WaitExecution', error);
        }
      }
    }
  }

  #anyTenant(): Tenant {
    return this.#tenants[Math.floor(this.#random() * this.#tenants.length)] as Tenant;
  }
}
