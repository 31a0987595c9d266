import { digestFromPlain, type Job, outcomeOf } from '../domain/job.ts';
import type { Operation } from '../domain/operation.ts';
import type { Logger } from '../lib/log.ts';
import { ExecuteResponse } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Operation as WireOperation } from '../proto/google/longrunning/operations.ts';
import { operationToWire } from '../wire/operation.ts';
import { inlineOutputs } from './inline-outputs.ts';
import type { Instances } from './instances.ts';
import type { LogStreamNames } from './log-stream-names.ts';

/** Shows a job as one of its operations, with outputs inlined as its client wished. */
export class OperationPresenter {
  readonly #instances: Instances;
  readonly #logger: Logger;
  readonly #logStreamNames: LogStreamNames | undefined;

  /** @param logStreamNames tells where an action's output can be read while it runs; undefined where it can't. */
  constructor(instances: Instances, logger: Logger, logStreamNames: LogStreamNames | undefined) {
    this.#instances = instances;
    this.#logger = logger;
    this.#logStreamNames = logStreamNames;
  }

  async present(job: Job, operation: Operation, signal: AbortSignal): Promise<WireOperation> {
    const outcome = outcomeOf(job, operation);
    if (outcome?.kind !== 'response') {
      const streams = outcome === undefined ? this.#logStreamNames?.readNames(job) : undefined;
      return operationToWire(job, operation, undefined, streams);
    }
    return operationToWire(job, operation, await this.#inline(job, operation, outcome.encoded, signal));
  }

  /** Inlining is a hint: where it fails the answer goes out with digests. */
  async #inline(job: Job, operation: Operation, encoded: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    try {
      const response = ExecuteResponse.decode(encoded);
      if (response.result === undefined) return encoded;
      const { blobs } = this.#instances.get(job.instanceName);
      const { stdout, stderr, outputFiles } = operation.inline;
      const wishes = { inlineStdout: stdout, inlineStderr: stderr, inlineOutputFiles: outputFiles };
      const { digestFunction } = digestFromPlain(job.actionDigest);
      const result = await inlineOutputs(response.result, wishes, digestFunction, blobs, signal);
      return ExecuteResponse.encode({ ...response, result }).finish();
    } catch (cause) {
      signal.throwIfAborted();
      this.#logger.warn({ jobId: job.id, err: cause }, 'could not inline outputs');
      return encoded;
    }
  }
}
