import { type ServiceError, status as statusCodes } from '@grpc/grpc-js';
import { describeFailure } from '../wire-client.ts';

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

const PAUSE_MS = 100;

/** What one client does for one thing: calls that fail on the way are made again until its time is over. */
export class Attempts {
  /** Calls that failed and were made again. */
  readonly retries: string[] = [];
  readonly #thing: string;
  readonly #bound: number;
  readonly #begun = performance.now();
  #step = '';

  /**
   * @param thing for messages, such as `action HASH`.
   * @param bound milliseconds that all of it may take.
   */
  constructor(thing: string, bound: number) {
    this.#thing = thing;
    this.#bound = bound;
  }

  /** Since the begin. */
  get milliseconds(): number {
    return performance.now() - this.#begun;
  }

  /** What it waits for now, since when, and what went before. */
  get waiting(): string {
    return [`${this.#thing}: ${this.#step}`, ...this.retries].join('\n  ');
  }

  /** Remembers what it waits for from now on. */
  step(text: string): void {
    this.#step = `${text} since ${Math.round(this.milliseconds)} ms after its begin`;
  }

  /** Makes a call until it goes well. @throws as `pauseAfter`. */
  async call<T>(what: string, make: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        this.step(what);
        return await make();
      } catch (error) {
        await this.pauseAfter(what, error);
      }
    }
  }

  /**
   * Resolves when the call may be made again.
   *
   * @throws Error when time is over, or when the call failed with what no client tries again.
   */
  async pauseAfter(what: string, error: unknown): Promise<void> {
    const { details } = error as { details?: string };
    const code = codeOf(error);
    const delay = askedDelay(error);
    const asked = delay === undefined ? '' : `, come again in ${delay} ms`;
    const text = `${what}: ${statusCodes[code ?? -1] ?? String(error)} ${details ?? ''}${asked}`;
    this.retries.push(`${Math.round(this.milliseconds)} ms ${text}`);
    if (code === undefined || !TRY_AGAIN.has(code)) throw new Error(`${this.#thing}: ${text}`, { cause: error });
    if (this.milliseconds > this.#bound) {
      throw new Error(`${this.#thing} took longer than ${this.#bound} ms:\n${this.retries.join('\n')}`);
    }
    await new Promise((resolve) => setTimeout(resolve, delay ?? PAUSE_MS));
  }
}

/** Of the call; of the blob where an upload as a whole went well. */
export function codeOf(error: unknown): number | undefined {
  if (error instanceof Error && error.message.startsWith('upload of')) return statusCodes.UNAVAILABLE;
  return (error as { code?: number }).code;
}

/** What a call answers, or undefined where it says NOT_FOUND. */
export async function unlessNotFound<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (codeOf(error) === statusCodes.NOT_FOUND) return undefined;
    throw error;
  }
}

/** What a RetryInfo asks for, in milliseconds. */
function askedDelay(error: unknown): number | undefined {
  if (!(error instanceof Error) || !('metadata' in error)) return undefined;
  const { retryDelaySeconds } = describeFailure(error as ServiceError);
  return retryDelaySeconds === undefined ? undefined : retryDelaySeconds * 1_000;
}
