import { type ServiceError, status as statusCodes } from '@grpc/grpc-js';
import type { Digest, ExecuteResponse } from '../../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Operation } from '../../../src/proto/google/longrunning/operations.ts';
import { type ActionOptions, prepareAction, Tenant } from '../tenant.ts';
import { describeFailure, type WireClient } from '../wire-client.ts';

/** What a client sees of one action from beginning to end. */
export interface Execution {
  readonly action: Digest;
  /** Operations that it was given, with the last that each of them told. */
  readonly operations: Map<string, Operation | undefined>;
  /** Calls that failed and were made again. */
  readonly retries: string[];
  readonly response: ExecuteResponse;
  readonly milliseconds: number;
}

export interface LoadClientOptions {
  /** One for each replica: every call goes to one of them at random. */
  readonly replicas: readonly WireClient[];
  readonly random: () => number;
}

/** What Bazel, too, tries again: trouble on the way, and servers that come and go. */
const TRY_AGAIN: ReadonlySet<number> = new Set([
  statusCodes.CANCELLED,
  statusCodes.UNKNOWN,
  statusCodes.DEADLINE_EXCEEDED,
  statusCodes.RESOURCE_EXHAUSTED,
  statusCodes.ABORTED,
  statusCodes.INTERNAL,
  statusCodes.UNAVAILABLE,
]);

/** Beyond every bound: a server that lets its client hang is not to be helped by the client's own patience. */
const CALL_MS = 300_000;
const PAUSE_MS = 100;

/**
 * A client that executes as Bazel does: a stream that breaks is taken up by WaitExecution at another replica; where the
 * operation is not known any more, the action is executed anew.
 */
export class LoadClient {
  readonly #tenants: readonly Tenant[];
  readonly #random: () => number;
  readonly #underWay = new Set<{ readonly action: Digest; readonly retries: readonly string[]; step: string }>();

  constructor({ replicas, random }: LoadClientOptions) {
    this.#tenants = replicas.map((each) => new Tenant(each, ''));
    this.#random = random;
  }

  /** What waits for an answer now, since when, and what went before. */
  get waiting(): string[] {
    return [...this.#underWay].map(({ action, retries, step }) => [`${action.hash}: ${step}`, ...retries].join('\n  '));
  }

  /**
   * Uploads an action and executes it.
   *
   * @param bound milliseconds that it may take in all.
   * @throws Error when it takes longer, or when a call fails with what no client tries again.
   */
  async execute(options: ActionOptions, bound: number): Promise<Execution> {
    const begun = performance.now();
    const prepared = prepareAction(options);
    const action = prepared.action.digest;
    const operations = new Map<string, Operation | undefined>();
    const retries: string[] = [];
    const again = async (what: string, error: unknown) => {
      const { details } = error as { details?: string };
      const code = codeOf(error);
      const delay = askedDelay(error);
      const asked = delay === undefined ? '' : `, come again in ${delay} ms`;
      const text = `${what}: ${statusCodes[code ?? -1] ?? String(error)} ${details ?? ''}${asked}`;
      retries.push(`${Math.round(performance.now() - begun)} ms ${text}`);
      if (code === undefined || !TRY_AGAIN.has(code))
        throw new Error(`action ${action.hash}: ${text}`, { cause: error });
      if (performance.now() - begun > bound) {
        throw new Error(`action ${action.hash} took longer than ${bound} ms:\n${retries.join('\n')}`);
      }
      await new Promise((resolve) => setTimeout(resolve, delay ?? PAUSE_MS));
    };
    const underWay = { action, retries, step: 'upload' };
    const step = (text: string) => {
      underWay.step = `${text} since ${Math.round(performance.now() - begun)} ms after its begin`;
    };
    this.#underWay.add(underWay);
    using _ = { [Symbol.dispose]: () => this.#underWay.delete(underWay) };
    for (;;) {
      try {
        step('upload');
        await this.#anyTenant().upload(...prepared.blobs);
        break;
      } catch (error) {
        await again('upload', error);
      }
    }
    let name: string | undefined;
    for (;;) {
      const tenant = this.#anyTenant();
      const call = { deadline: CALL_MS };
      const where = `at replica ${this.#tenants.indexOf(tenant) + 1}`;
      step(name === undefined ? `Execute ${where}` : `WaitExecution of ${name} ${where}`);
      const stream =
        name === undefined ? tenant.execute(action, { inlineStdout: true }, call) : tenant.waitExecution(name, call);
      try {
        for (;;) {
          const update = await stream.next();
          if (update === undefined) throw new Error(`the stream of ${action.hash} ended without a response`);
          name = update.operation.name;
          if (!operations.has(name)) step(`follows ${name} ${where}`);
          operations.set(name, update.operation);
          if (update.response === undefined) continue;
          return { action, operations, retries, response: update.response, milliseconds: performance.now() - begun };
        }
      } catch (error) {
        if (name !== undefined && codeOf(error) === statusCodes.NOT_FOUND) {
          retries.push(`${name} is not known any more`);
          name = undefined;
        } else {
          await again(name === undefined ? 'Execute' : 'WaitExecution', error);
        }
      }
    }
  }

  #anyTenant(): Tenant {
    return this.#tenants[Math.floor(this.#random() * this.#tenants.length)] as Tenant;
  }
}

/** Of the call; of the blob where an upload as a whole went well. */
function codeOf(error: unknown): number | undefined {
  if (error instanceof Error && error.message.startsWith('upload of')) return statusCodes.UNAVAILABLE;
  return (error as { code?: number }).code;
}

/** What a RetryInfo asks for, in milliseconds. */
function askedDelay(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('metadata' in error)) return undefined;
  const { retryDelaySeconds } = describeFailure(error as ServiceError);
  return retryDelaySeconds === undefined ? undefined : retryDelaySeconds * 1_000;
}
