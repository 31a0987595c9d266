import { createDigest, type Digest } from '../../../domain/digest.ts';
import { digestFunctionBySegment } from '../../../domain/digest-function.ts';
import { bucketOf } from '../../s3/bucket-template.ts';
import type { ObjectPlace } from '../../s3/s3-objects.ts';

/** `blobs/<function>/<hash>-<size>`: hashes of different functions never meet, and the size needs no look-up. */
const NAME = /^blobs\/([a-z0-9]+)\/([0-9a-f]+)-(0|[1-9][0-9]*)$/;

/** Where blobs are in the buckets of a template. */
export class S3BlobKeys {
  readonly #bucket: string;
  readonly #keyPrefix: string;

  constructor(bucket: string, keyPrefix: string) {
    this.#bucket = bucket;
    this.#keyPrefix = keyPrefix;
  }

  /** What begins the key of every blob. */
  get prefix(): string {
    return `${this.#keyPrefix}blobs/`;
  }

  placeOf({ digestFunction, hash, sizeBytes }: Digest): ObjectPlace {
    return {
      bucket: bucketOf(this.#bucket, hash),
      key: `${this.prefix}${digestFunction.name.toLowerCase()}/${hash}-${sizeBytes}`,
    };
  }

  /** The blob that an object is, or undefined where it is none of ours. */
  digestOf(bucket: string, key: string): Digest | undefined {
    const [, name = '', hash = '', size] = NAME.exec(key.slice(this.#keyPrefix.length)) ?? [];
    const digestFunction = digestFunctionBySegment(name);
    if (digestFunction === undefined || bucketOf(this.#bucket, hash) !== bucket) return undefined;
    if (hash.length !== digestFunction.hashLength || !Number.isSafeInteger(Number(size))) return undefined;
    return createDigest(digestFunction, hash, Number(size));
  }
}
