import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, StatusError } from '../domain/status-error.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type { LeaseDetails, LeasePayload, PackedMessage } from '../ports/bots-client.ts';
import { Action, ActionResult, Digest } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire, digestFunctionFromWire } from '../wire/digest.ts';
import { ExecutionProgress } from './execution-progress.ts';
import { missingInputs } from './input-stager.ts';
import type { ExecutionOutcome } from './local-executor.ts';

const PACKAGE = 'build.bazel.remote.execution.v2';
const MAX_ACTION_BYTES = 4 * 1024 * 1024;

/** What a lease comes to: a result, a status, or both where there is something to show of what failed. */
export interface LeaseOutcome {
  readonly result: PackedMessage | undefined;
  /** Undefined is OK: the lease could be run, whatever the command made of it. */
  readonly status: StatusError | undefined;
}

/** Runs an action to its end; `LocalExecutor` is the plain one. */
export interface Executor {
  execute(
    action: Action,
    details: LeaseDetails | undefined,
    progress: ExecutionProgress,
    signal: AbortSignal,
  ): Promise<ExecutionOutcome>;
}

/** A lease under way. */
export interface RunningLease {
  /** Never rejects. */
  readonly outcome: Promise<LeaseOutcome>;
  /** Encoded ExecutedActionMetadata, as far as it is known. */
  partialMetadata(): Uint8Array;
}

/** Turns the payload of a lease into an action, and what becomes of it into what a lease reports. */
export class LeaseRunner {
  readonly #executor: Executor;
  readonly #blobs: BlobStore;
  readonly #clock: Clock;
  readonly #workerName: string;
  readonly #logger: Logger;

  constructor(executor: Executor, blobs: BlobStore, clock: Clock, workerName: string, logger: Logger) {
    this.#executor = executor;
    this.#blobs = blobs;
    this.#clock = clock;
    this.#workerName = workerName;
    this.#logger = logger;
  }

  /** Starts a lease. Aborting the signal kills it; the outcome is then CANCELLED. */
  start(leaseId: string, payload: LeasePayload | undefined, signal: AbortSignal): RunningLease {
    const progress = new ExecutionProgress(this.#clock, this.#workerName);
    progress.mark('workerStartTimestamp');
    return {
      outcome: this.#run(leaseId, payload, progress, signal),
      partialMetadata: () => progress.encode(),
    };
  }

  async #run(
    leaseId: string,
    payload: LeasePayload | undefined,
    progress: ExecutionProgress,
    signal: AbortSignal,
  ): Promise<LeaseOutcome> {
    try {
      const action = await this.#actionOf(payload, signal);
      const { result, status } = await this.#executor.execute(action, payload, progress, signal);
      progress.mark('workerCompletedTimestamp');
      result.executionMetadata = progress.metadata;
      return { result: packed(result), status };
    } catch (thrown) {
      const status = StatusError.from(signal.aborted ? cancelled(thrown) : thrown);
      if (status.code === StatusCode.INTERNAL) this.#logger.error({ err: thrown, leaseId }, 'a lease failed');
      else this.#logger.debug({ err: thrown, leaseId }, 'a lease ended without a result');
      progress.mark('workerCompletedTimestamp');
      const result = ActionResult.decode(new Uint8Array(0));
      result.executionMetadata = progress.metadata;
      return { result: packed(result), status };
    }
  }

  /** Servers that have the Action at hand send it; others send its digest. */
  async #actionOf(payload: LeasePayload | undefined, signal: AbortSignal): Promise<Action> {
    if (payload?.messageName === `${PACKAGE}.Action`) return decodeAction(payload.encoded, 'lease.payload');
    if (payload?.messageName === `${PACKAGE}.Digest`) return this.#readAction(payload, signal);
    throw invalidArgument(
      'lease.payload',
      `holds ${payload?.messageName ?? 'nothing'}; this bot runs ${PACKAGE}.Action`,
    );
  }

  async #readAction({ encoded, digestFunction }: LeasePayload, signal: AbortSignal): Promise<Action> {
    const wire = decode(() => Digest.decode(encoded), 'lease.payload', 'Digest');
    const digest = digestFromWire(wire, digestFunction ?? digestFunctionFromWire(0, wire.hash), 'lease.payload');
    if (digest.sizeBytes > MAX_ACTION_BYTES) {
      throw invalidArgument('lease.payload', `an Action of more than ${MAX_ACTION_BYTES} bytes`);
    }
    try {
      return decodeAction(await this.#blobs.readWhole(digest, signal), 'lease.payload');
    } catch (thrown) {
      if (!(thrown instanceof StatusError) || thrown.code !== StatusCode.NOT_FOUND) throw thrown;
      throw missingInputs([digest]);
    }
  }
}

function cancelled(cause: unknown): StatusError {
  return new StatusError(StatusCode.CANCELLED, 'the lease was taken back', { cause });
}

function packed(result: ActionResult): PackedMessage {
  return { messageName: `${PACKAGE}.ActionResult`, encoded: ActionResult.encode(result).finish() };
}

function decodeAction(encoded: Uint8Array, field: string): Action {
  return decode(() => Action.decode(encoded), field, 'Action');
}

function decode<T>(decoder: () => T, field: string, name: string): T {
  try {
    return decoder();
  } catch {
    throw invalidArgument(field, `is not an encoded ${name}`);
  }
}
