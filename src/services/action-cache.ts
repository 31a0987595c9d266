import { digestKey } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { invalidArgument, notFound, StatusError } from '../domain/status-error.ts';
import type { CallContext } from '../ports/call-context.ts';
import type {
  ActionResult,
  GetActionResultRequest,
  UpdateActionResultRequest,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire, digestFunctionFromWire } from '../wire/digest.ts';
import { inlineOutputs } from './inline-outputs.ts';
import type { Instances } from './instances.ts';

export interface ActionCacheOptions {
  /** Greatest encoded size in bytes of an answer with what it has inlined. Defaults to 4 MiB - 64 KiB. */
  readonly maxInlinedResultBytes?: number;
}

/** The service ActionCache: results of actions by the digest of the action. */
export class ActionCache {
  readonly #instances: Instances;
  readonly #options: ActionCacheOptions;

  constructor(instances: Instances, options: ActionCacheOptions = {}) {
    this.#instances = instances;
    this.#options = options;
  }

  /** @throws NOT_FOUND when there is no result all of whose blobs are stored. */
  async getActionResult(request: GetActionResultRequest, context: CallContext): Promise<ActionResult> {
    const { name, actionResults, blobs } = this.#instances.get(request.instanceName);
    const digestFunction = digestFunctionFromWire(request.digestFunction, request.actionDigest?.hash);
    const digest = digestFromWire(request.actionDigest, digestFunction, 'action_digest');
    const result = await actionResults.get(name, digest, context.signal);
    if (result === undefined) throw notFound(`no result of action ${digestKey(digest)} is cached`);
    const { maxInlinedResultBytes } = this.#options;
    return inlineOutputs(result, request, digestFunction, blobs, context.signal, maxInlinedResultBytes);
  }

  /**
   * @throws PERMISSION_DENIED where clients may not update the cache; INVALID_ARGUMENT when the result is malformed;
   *   FAILED_PRECONDITION with MISSING for each blob that it names and that is not stored.
   * @returns the result that is cached now: where the cache keeps the first of each action, that one.
   */
  async updateActionResult(request: UpdateActionResultRequest, context: CallContext): Promise<ActionResult> {
    const instance = this.#instances.get(request.instanceName);
    if (!instance.actionCacheUpdateEnabled) {
      throw new StatusError(
        StatusCode.PERMISSION_DENIED,
        `clients may not update the action cache of instance '${instance.name}', as Capabilities tells`,
      );
    }
    const digestFunction = digestFunctionFromWire(request.digestFunction, request.actionDigest?.hash);
    const digest = digestFromWire(request.actionDigest, digestFunction, 'action_digest');
    if (request.actionResult === undefined) throw invalidArgument('action_result', 'is not set');
    try {
      await instance.actionResults.put(instance.name, digest, request.actionResult, context.signal);
    } catch (thrown) {
      if (!(thrown instanceof StatusError) || thrown.code !== StatusCode.ALREADY_EXISTS) throw thrown;
      const first = await instance.actionResults.get(instance.name, digest, context.signal);
      if (first === undefined) throw thrown;
      return first;
    }
    return request.actionResult;
  }
}
