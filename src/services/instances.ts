import type { Digest } from '../domain/digest.ts';
import { checkInstanceName } from '../domain/instance-name.ts';
import { invalidArgument } from '../domain/status-error.ts';
import type { BlobPins } from '../ports/blob-pins.ts';
import type { BlobStore } from '../ports/blob-store.ts';
import type { UploadStore } from '../ports/upload-store.ts';
import type { ActionResult } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';

/** The action cache as services see it: decoded, and complete or absent. */
export interface ActionResults {
  /**
   * The result of an action if every blob that it names is stored, whose lives are thereby extended; else undefined.
   * An incomplete entry is a miss.
   */
  get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<ActionResult | undefined>;
  /**
   * @throws FAILED_PRECONDITION with MISSING for each blob that the result names and that is not stored;
   *   PERMISSION_DENIED when the cache is read-only; ALREADY_EXISTS when it keeps an earlier result, which is complete.
   */
  put(instanceName: string, actionDigest: Digest, result: ActionResult, signal: AbortSignal): Promise<void>;
}

/** What one tenant's name space stands on. */
export interface Instance {
  readonly name: string;
  readonly blobs: BlobStore;
  /** Keeps blobs of that store from eviction. */
  readonly pins: BlobPins;
  readonly uploads: UploadStore;
  readonly actionResults: ActionResults;
  /** Whether clients may call UpdateActionResult. Bots' results are stored in any case, unless the cache is read-only. */
  readonly actionCacheUpdateEnabled: boolean;
  /**
   * Whether results of bots with an exit code other than 0 go to the action cache. Clients expect a failed action to run
   * again.
   */
  readonly cacheFailedActions: boolean;
  /** Whether Execute is served for this instance. */
  readonly executionEnabled: boolean;
}

/** The instances that this replica serves. */
export class Instances {
  readonly #byName: ReadonlyMap<string, Instance>;

  constructor(instances: readonly Instance[]) {
    this.#byName = new Map(instances.map((each) => [each.name, each]));
  }

  /**
   * @param field the request's field, for the message.
   * @throws INVALID_ARGUMENT when the name is malformed or not served here.
   */
  get(name: string, field = 'instance_name'): Instance {
    const instance = this.#byName.get(name);
    if (instance !== undefined) return instance;
    checkInstanceName(name, field);
    const known = [...this.#byName.keys()].map((each) => `'${each}'`).join(', ');
    throw invalidArgument(field, `instance '${name}' is not served here; this server has ${known}`);
  }

  names(): readonly string[] {
    return [...this.#byName.keys()];
  }
}
