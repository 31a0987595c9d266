import type { Clock, Timer } from '../../../lib/clock.ts';
import type { Random } from '../../../lib/ids.ts';
import type { Logger } from '../../../lib/log.ts';
import type { CleaningReport, StoreCleaning } from '../../../ports/store-maintenance.ts';
import { CleaningTally } from '../../cleaning-tally.ts';
import { bucketsOf } from '../../s3/bucket-template.ts';
import type { S3Objects, UnfinishedUpload } from '../../s3/s3-objects.ts';
import { S3BlobKeys } from './s3-blob-keys.ts';

export interface UnfinishedUploadsOptions {
  /** Name of the bucket; `{hash:1}` or `{hash:2}` in it for so many first characters of the hash. */
  readonly bucket: string;
  readonly keyPrefix: string;
  /** An upload that began longer ago than so many milliseconds has no process any more. */
  readonly maximumAge: number;
}

export interface UnfinishedUploadsDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
}

/** So often each replica looks, half an hour more or less, so that they do not do it together. */
const LOOK_MILLISECONDS = 3_600_000;
/** The first look comes within so long after the start: a replica may not live for an hour. */
const FIRST_LOOK_MILLISECONDS = 600_000;

/**
 * Drops uploads in parts whose process was killed: S3 keeps, and charges for, their parts for ever.
 *
 * Of whose process lives nothing is known; an upload that is older than any may be counts as left. Replicas need not
 * agree: to drop what another has dropped, or ended, is no failure.
 */
export class UnfinishedUploads implements StoreCleaning {
  readonly #objects: S3Objects;
  readonly #options: UnfinishedUploadsOptions;
  readonly #keys: S3BlobKeys;
  readonly #dependencies: UnfinishedUploadsDependencies;
  readonly #stop = new AbortController();
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;

  constructor(objects: S3Objects, options: UnfinishedUploadsOptions, dependencies: UnfinishedUploadsDependencies) {
    this.#objects = objects;
    this.#options = options;
    this.#keys = new S3BlobKeys(options.bucket, options.keyPrefix);
    this.#dependencies = dependencies;
    this.#armTimer(FIRST_LOOK_MILLISECONDS * dependencies.random());
  }

  /** @throws UNAVAILABLE when S3 can't be asked; INTERNAL when the account may not list or drop uploads. */
  async clean(_targetBytes: number | undefined, dryRun: boolean, signal: AbortSignal): Promise<CleaningReport> {
    let unfinishedUploads = 0;
    for (const bucket of bucketsOf(this.#options.bucket)) {
      for await (const { key, uploadId } of this.#leftIn(bucket, signal)) {
        if (!dryRun) await this.#objects.abortUpload({ bucket, key }, uploadId, signal);
        unfinishedUploads += 1;
      }
    }
    return { ...new CleaningTally().report, unfinishedUploads };
  }

  /** Ends what is under way. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#timer?.cancel();
    await this.#running;
  }

  async *#leftIn(bucket: string, signal: AbortSignal): AsyncGenerator<UnfinishedUpload> {
    const begunBefore = this.#dependencies.clock.now() - this.#options.maximumAge;
    for await (const upload of this.#objects.listUploads(bucket, this.#keys.prefix, signal)) {
      // Whatever else is uploaded into the bucket is not ours to drop.
      if (upload.begunAt < begunBefore && this.#keys.digestOf(bucket, upload.key) !== undefined) yield upload;
    }
  }

  #armTimer(milliseconds: number): void {
    this.#timer = this.#dependencies.clock.setTimer(milliseconds, () => {
      this.#running = this.#look().finally(() => {
        if (!this.#stop.signal.aborted) this.#armTimer(LOOK_MILLISECONDS * (0.5 + this.#dependencies.random()));
      });
    });
  }

  async #look(): Promise<void> {
    const { logger } = this.#dependencies;
    const { signal } = this.#stop;
    try {
      const { unfinishedUploads } = await this.clean(undefined, false, signal);
      if (unfinishedUploads > 0) logger.info({ uploads: unfinishedUploads }, 'dropped uploads to S3 that nobody ended');
    } catch (cause) {
      if (!signal.aborted) logger.warn({ err: cause }, 'unfinished uploads to S3 could not be dropped');
    }
  }
}
