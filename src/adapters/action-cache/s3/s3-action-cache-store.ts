import { createHash } from 'node:crypto';
import type { Digest } from '../../../domain/digest.ts';
import { unavailable } from '../../../domain/status-error.ts';
import { KeyedLock } from '../../../lib/keyed-lock.ts';
import type { ActionCacheStore } from '../../../ports/action-cache-store.ts';
import { bucketOf } from '../../s3/bucket-template.ts';
import type { ConditionalWrites } from '../../s3/conditional-writes.ts';
import type { ObjectPlace, S3Objects } from '../../s3/s3-objects.ts';
import { actionResultKey } from '../action-result-key.ts';

export interface S3ActionCacheOptions {
  /** Name of the bucket; `{hash:1}` or `{hash:2}` in it for so many first characters of the action's hash. */
  readonly bucket: string;
  readonly keyPrefix: string;
}

/** So often a first result is tried to be stored in a place that is taken and, when one looks, empty. */
const ATTEMPTS = 5;
const RETRY_DELAY_MS = 1_000;

/** Results of actions as objects of S3: `results/<function>/<hash>-<size>/<SHA-256 of the instance's name>`. */
export class S3ActionCacheStore implements ActionCacheStore {
  readonly #objects: S3Objects;
  readonly #conditionalWrites: ConditionalWrites;
  readonly #options: S3ActionCacheOptions;
  /** Of two requests for one object that are under way at once the later one may arrive first. */
  readonly #order = new KeyedLock();

  constructor(objects: S3Objects, conditionalWrites: ConditionalWrites, options: S3ActionCacheOptions) {
    this.#objects = objects;
    this.#conditionalWrites = conditionalWrites;
    this.#options = options;
  }

  async get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const found = await this.#objects.get(this.#placeOf(instanceName, actionDigest), undefined, signal);
    return found?.bytes;
  }

  put(instanceName: string, actionDigest: Digest, actionResult: Uint8Array, signal: AbortSignal): Promise<void> {
    const place = this.#placeOf(instanceName, actionDigest);
    return this.#order.run(actionResultKey(instanceName, actionDigest), () =>
      this.#objects.put(place, actionResult, signal),
    );
  }

  /**
   * Holds across replicas where the server keeps to conditional writes; elsewhere within this process.
   *
   * @throws UNAVAILABLE where others put and delete the entry all the time.
   */
  putFirst(
    instanceName: string,
    actionDigest: Digest,
    actionResult: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const place = this.#placeOf(instanceName, actionDigest);
    return this.#order.run(actionResultKey(instanceName, actionDigest), async () => {
      if (!(await this.#conditionalWrites.areKept(place.bucket, signal))) {
        const before = await this.get(instanceName, actionDigest, signal);
        if (before === undefined) await this.#objects.put(place, actionResult, signal);
        return before;
      }
      for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
        if ((await this.#objects.putFirst(place, actionResult, signal)) === 'stored') return undefined;
        const before = await this.get(instanceName, actionDigest, signal);
        // What was deleted in between leaves the place free again.
        if (before !== undefined) return before;
      }
      throw unavailable('the result of the action is being replaced by others', RETRY_DELAY_MS);
    });
  }

  delete(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<void> {
    const place = this.#placeOf(instanceName, actionDigest);
    return this.#order.run(actionResultKey(instanceName, actionDigest), () => this.#objects.delete(place, signal));
  }

  #placeOf(instanceName: string, { digestFunction, hash, sizeBytes }: Digest): ObjectPlace {
    const instance = createHash('sha256').update(instanceName).digest('hex');
    return {
      bucket: bucketOf(this.#options.bucket, hash),
      key: `${this.#options.keyPrefix}results/${digestFunction.name.toLowerCase()}/${hash}-${sizeBytes}/${instance}`,
    };
  }
}
