import { createHash } from 'node:crypto';
import type { Digest } from '../../../domain/digest.ts';
import { KeyedLock } from '../../../lib/keyed-lock.ts';
import type { ActionCacheStore } from '../../../ports/action-cache-store.ts';
import { bucketOf } from '../../s3/bucket-template.ts';
import type { ObjectPlace, S3Objects } from '../../s3/s3-objects.ts';
import { actionResultKey } from '../action-result-key.ts';

export interface S3ActionCacheOptions {
  /** Name of the bucket; `{hash:1}` or `{hash:2}` in it for so many first characters of the action's hash. */
  readonly bucket: string;
  readonly keyPrefix: string;
}

/** Results of actions as objects of S3: `results/<function>/<hash>-<size>/<SHA-256 of the instance's name>`. */
export class S3ActionCacheStore implements ActionCacheStore {
  readonly #objects: S3Objects;
  readonly #options: S3ActionCacheOptions;
  /** Of two requests for one object that are under way at once the later one may arrive first. */
  readonly #order = new KeyedLock();

  constructor(objects: S3Objects, options: S3ActionCacheOptions) {
    this.#objects = objects;
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
