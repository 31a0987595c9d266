import type { Digest } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import {
  type ExecuteResponse,
  ExecutionService,
} from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { type Operation, OperationsService } from '../../proto/google/longrunning/operations.ts';
import { digestFunctionToWire, digestToWire } from '../../wire/digest.ts';
import { statusFromWire } from '../../wire/status.ts';
import { type ReadOperation, readOperation } from '../present/operation.ts';
import type { Remote } from '../remote.ts';

export interface ExecutionRequest {
  readonly actionDigest: Digest;
  /** Run it even when its result is known. */
  readonly skipCacheLookup: boolean;
  /** As in ExecutionPolicy: lower goes first. */
  readonly priority: number;
}

/** How long telling the server that nobody waits any more may take, in milliseconds. */
const CANCEL_DEADLINE_MS = 3_000;

/** One action on its way: Execute, and WaitExecution for as long as its stream breaks. */
export class RemoteExecution {
  readonly #remote: Remote;
  readonly #request: ExecutionRequest;
  readonly #onUpdate: (operation: ReadOperation) => void;
  #name: string | undefined;

  constructor(remote: Remote, request: ExecutionRequest, onUpdate: (operation: ReadOperation) => void) {
    this.#remote = remote;
    this.#request = request;
    this.#onUpdate = onUpdate;
  }

  /** How the server calls it, once it has said so. */
  get operationName(): string | undefined {
    return this.#name;
  }

  /** @throws StatusError when the server refuses it or the line stays broken. */
  async run(signal: AbortSignal): Promise<ExecuteResponse> {
    const failures = this.#remote.retrier.countFailures();
    for (;;) {
      let updates = 0;
      try {
        for await (const operation of this.#stream(signal)) {
          updates += 1;
          this.#name = operation.name;
          const read = readOperation(operation);
          this.#onUpdate(read);
          if (operation.done) return responseOf(read);
        }
        throw new StatusError(StatusCode.UNAVAILABLE, 'the server ended the stream before the operation');
      } catch (thrown) {
        const isUnknown = thrown instanceof StatusError && thrown.code === StatusCode.NOT_FOUND;
        if (this.#name !== undefined && isUnknown) {
          // The server lost the operation, as one does that keeps them in memory and was started anew.
          this.#name = undefined;
          await failures.waitAfter(new StatusError(StatusCode.UNAVAILABLE, thrown.message), false, signal);
        } else {
          await failures.waitAfter(thrown, updates > 0, signal);
        }
      }
    }
  }

  /** Tells the server that this client waits no more. Never throws. */
  async cancel(): Promise<void> {
    if (this.#name === undefined) return;
    const request = { name: this.#name };
    const options = { deadlineMilliseconds: CANCEL_DEADLINE_MS };
    const { signal } = new AbortController();
    await this.#remote.channel
      .unary(OperationsService.cancelOperation, request, options, signal)
      .catch(() => undefined);
  }

  #stream(signal: AbortSignal): AsyncIterable<Operation> {
    const { channel, instanceName } = this.#remote;
    if (this.#name !== undefined) {
      return channel.serverStream(ExecutionService.waitExecution, { name: this.#name }, {}, signal);
    }
    const { actionDigest, skipCacheLookup, priority } = this.#request;
    const request = {
      instanceName,
      skipCacheLookup,
      actionDigest: digestToWire(actionDigest),
      executionPolicy: priority === 0 ? undefined : { priority },
      resultsCachePolicy: undefined,
      digestFunction: digestFunctionToWire(actionDigest.digestFunction),
      inlineStdout: true,
      inlineStderr: true,
      inlineOutputFiles: [],
    };
    return channel.serverStream(ExecutionService.execute, request, {}, signal);
  }
}

function responseOf({ operation, response }: ReadOperation): ExecuteResponse {
  if (operation.result?.$case === 'error') throw statusFromWire(operation.result.value);
  if (response === undefined) {
    throw new StatusError(StatusCode.INTERNAL, `operation ${operation.name} ended without a response that can be read`);
  }
  return response;
}
