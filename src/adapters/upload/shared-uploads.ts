import type { Digest } from '../../domain/digest.ts';
import { notFound } from '../../domain/status-error.ts';
import { linkSignals, raceSignal } from '../../lib/abort.ts';
import type { Clock } from '../../lib/clock.ts';
import { Deferred } from '../../lib/deferred.ts';
import type { Logger } from '../../lib/log.ts';
import type { BlobStore } from '../../ports/blob-store.ts';
import type { BlobWriter, BlobWriters } from '../../ports/blob-writers.ts';
import type { UploadStatus, UploadStore } from '../../ports/upload-store.ts';
import type { PartialUploads } from './partial-uploads.ts';
import { UnsavedBytes } from './unsaved-bytes.ts';
import { feed, gap, isOfWrongBytes, isStored, takenOver, uploadKey } from './upload-rules.ts';

/** For calls that are bounded by the connection's own time limit. */
const UNENDING = new AbortController().signal;

/** The call that feeds an upload in this process now. */
interface LiveUpload {
  readonly unsaved: UnsavedBytes;
  interrupt(): void;
  /** Settles once the call has let go of the upload. */
  readonly released: Promise<void>;
}

export interface SharedUploadsOptions {
  readonly blobs: BlobStore & BlobWriters;
  readonly partial: PartialUploads;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Uploads that may break off at one replica and go on at another.
 *
 * An upload in one go is a plain write into the store. What a broken-off one has brought is saved where all replicas find
 * it: when it breaks off, while it is slow or stalls, and beyond a few megabytes as it comes. Whoever goes on reads that
 * back into a new writer, so that the hash is made of all the bytes by one process.
 *
 * All that is saved of an upload is one run of bytes, whoever saves them: two replicas that feed one upload at the same
 * time, since one has not noticed that its client is gone, do no harm.
 */
export class SharedUploads implements UploadStore {
  readonly #blobs: BlobStore & BlobWriters;
  readonly #partial: PartialUploads;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #live = new Map<string, LiveUpload>();

  constructor({ blobs, partial, clock, logger }: SharedUploadsOptions) {
    this.#blobs = blobs;
    this.#partial = partial;
    this.#clock = clock;
    this.#logger = logger;
  }

  async status(uploadName: string, digest: Digest, signal: AbortSignal): Promise<UploadStatus> {
    const key = uploadKey(uploadName, digest);
    const live = this.#live.get(key);
    // What only this replica has does not count: the client may go on at another.
    await live?.unsaved.save();
    // Before the storage is asked: of an upload that ends meanwhile nothing is saved, and the blob was not stored yet.
    const committedSize = await this.#partial.size(key, signal);
    if (await isStored(this.#blobs, digest, signal)) return { committedSize: digest.sizeBytes, complete: true };
    if (committedSize === 0 && live === undefined) {
      throw notFound(`nothing is known of upload ${uploadName}: begin it at offset 0`);
    }
    return { committedSize, complete: false };
  }

  async receive(
    uploadName: string,
    digest: Digest,
    offset: number,
    source: AsyncIterable<Uint8Array>,
    finish: () => boolean,
    signal: AbortSignal,
  ): Promise<UploadStatus> {
    if (await isStored(this.#blobs, digest, signal)) return { committedSize: digest.sizeBytes, complete: true };
    const key = uploadKey(uploadName, digest);
    for (let rival = this.#live.get(key); rival !== undefined; rival = this.#live.get(key)) {
      rival.interrupt();
      await raceSignal(rival.released, signal);
    }
    using link = linkSignals(signal);
    const released = new Deferred<void>();
    const unsaved = new UnsavedBytes(key, this.#partial, this.#clock, this.#logger);
    const live: LiveUpload = {
      unsaved,
      interrupt: () => link.abort(takenOver(uploadName)),
      released: released.promise,
    };
    this.#live.set(key, live);
    try {
      return await this.#receive(key, digest, offset, source, finish, unsaved, link.signal);
    } finally {
      unsaved.end();
      this.#live.delete(key);
      released.resolve();
    }
  }

  /** Saves what has come of the uploads under way, and ends them. */
  async close(): Promise<void> {
    const live = [...this.#live.values()];
    for (const each of live) each.interrupt();
    await Promise.all(live.map((each) => each.released));
  }

  async #receive(
    key: string,
    digest: Digest,
    offset: number,
    source: AsyncIterable<Uint8Array>,
    finish: () => boolean,
    unsaved: UnsavedBytes,
    signal: AbortSignal,
  ): Promise<UploadStatus> {
    // Who begins at the beginning needs nothing of what was: the usual upload asks nobody.
    const known = offset === 0 ? 0 : await this.#partial.size(key, signal);
    if (offset > known) throw gap(offset, known);
    const writer = await this.#blobs.openWriter(digest, signal);
    try {
      if (known > 0) await this.#replay(key, known, writer, signal);
      unsaved.begin(known);
      await feed(source, known - offset, signal, async (chunk) => {
        await writer.append(chunk);
        await unsaved.add(chunk);
      });
      if (!finish()) {
        await unsaved.save();
        return { committedSize: unsaved.saved, complete: false };
      }
      await writer.commit();
      if (unsaved.saved > 0) await this.#drop(key);
      return { committedSize: digest.sizeBytes, complete: true };
    } catch (cause) {
      if (isOfWrongBytes(cause)) await this.#drop(key);
      else await this.#saveRest(unsaved);
      throw cause;
    } finally {
      await writer.abandon();
    }
  }

  /** @throws OUT_OF_RANGE where what was saved is gone: the client begins anew. */
  async #replay(key: string, known: number, writer: BlobWriter, signal: AbortSignal): Promise<void> {
    for await (const piece of this.#partial.read(key, signal)) {
      if (writer.receivedBytes + piece.byteLength > known) {
        // Another replica has saved more meanwhile, which the client sends again.
        await writer.append(piece.subarray(0, known - writer.receivedBytes));
        break;
      }
      await writer.append(piece);
    }
    if (writer.receivedBytes < known) throw gap(known, 0);
  }

  async #saveRest(unsaved: UnsavedBytes): Promise<void> {
    await unsaved.save().catch((cause: unknown) => {
      this.#logger.warn({ err: cause }, 'what had come of a broken-off upload is lost: it begins anew');
    });
  }

  /** What can't be dropped now expires by itself. */
  async #drop(key: string): Promise<void> {
    await this.#partial.drop(key, UNENDING).catch((cause: unknown) => {
      this.#logger.warn({ err: cause }, 'what was saved of an upload could not be dropped');
    });
  }
}
