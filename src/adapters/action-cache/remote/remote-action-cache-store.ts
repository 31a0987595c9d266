import type { Digest } from '../../../domain/digest.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { StatusError } from '../../../domain/status-error.ts';
import type { ActionCacheStore } from '../../../ports/action-cache-store.ts';
import { ActionCacheService, ActionResult } from '../../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFunctionToWire, digestToWire } from '../../../wire/digest.ts';
import type { GrpcChannel } from '../../grpc-client/grpc-channel.ts';
import type { Retrier } from '../../grpc-client/retrier.ts';

/** The call whose answer is left encoded: this store knows nothing of what is inside. */
const GET_ENCODED = {
  ...ActionCacheService.getActionResult,
  responseDeserialize: (bytes: Buffer): Uint8Array => bytes,
};
const UPDATE_ENCODED = {
  ...ActionCacheService.updateActionResult,
  responseDeserialize: (bytes: Buffer): Uint8Array => bytes,
};

/**
 * The action cache of another server.
 *
 * What the server answers may have passed its own completeness check; what it stores must.
 */
export class RemoteActionCacheStore implements ActionCacheStore {
  readonly #channel: GrpcChannel;
  readonly #retrier: Retrier;
  readonly #instanceThere: string | undefined;

  /** @param instanceThere the instance on the server for all of ours; undefined where they have the same names. */
  constructor(channel: GrpcChannel, retrier: Retrier, instanceThere?: string) {
    this.#channel = channel;
    this.#retrier = retrier;
    this.#instanceThere = instanceThere;
  }

  async get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const request = {
      instanceName: this.#instanceThere ?? instanceName,
      actionDigest: digestToWire(actionDigest),
      // As they were put: a result with its output moved out into blobs would be another one.
      inlineStdout: true,
      inlineStderr: true,
      inlineOutputFiles: [],
      digestFunction: digestFunctionToWire(actionDigest.digestFunction),
    };
    try {
      return await this.#retrier.run(() => this.#channel.unary(GET_ENCODED, request, {}, signal), signal);
    } catch (thrown) {
      if (thrown instanceof StatusError && thrown.code === StatusCode.NOT_FOUND) return undefined;
      throw thrown;
    }
  }

  async put(instanceName: string, actionDigest: Digest, actionResult: Uint8Array, signal: AbortSignal): Promise<void> {
    const request = {
      instanceName: this.#instanceThere ?? instanceName,
      actionDigest: digestToWire(actionDigest),
      actionResult: ActionResult.decode(actionResult),
      resultsCachePolicy: undefined,
      digestFunction: digestFunctionToWire(actionDigest.digestFunction),
    };
    await this.#retrier.run(() => this.#channel.unary(UPDATE_ENCODED, request, {}, signal), signal);
  }

  /** The protocol has no call for it: of what two replicas put in the same moment the server keeps what it will. */
  async putFirst(
    instanceName: string,
    actionDigest: Digest,
    actionResult: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const before = await this.get(instanceName, actionDigest, signal);
    if (before === undefined) await this.put(instanceName, actionDigest, actionResult, signal);
    return before;
  }

  /** @throws UNIMPLEMENTED: the protocol has no call for it. */
  delete(): Promise<void> {
    return Promise.reject(
      new StatusError(StatusCode.UNIMPLEMENTED, 'entries of another server cannot be deleted by its clients'),
    );
  }
}
