import type { Digest } from '../../domain/digest.ts';
import { notFound } from '../../domain/status-error.ts';
import { linkSignals, raceSignal } from '../../lib/abort.ts';
import type { Clock, Timer } from '../../lib/clock.ts';
import type { BlobStore } from '../../ports/blob-store.ts';
import type { BlobWriter, BlobWriters } from '../../ports/blob-writers.ts';
import type { UploadStatus, UploadStore } from '../../ports/upload-store.ts';
import { feed, gap, isOfWrongBytes, isStored, takenOver, uploadKey } from './upload-rules.ts';

export interface ResumableUploadsOptions {
  /** Milliseconds after which an upload that nobody goes on with is dropped. */
  readonly expiryMilliseconds: number;
  /** Greatest total size of what broken-off uploads have left; beyond it the oldest are dropped. */
  readonly maximumPartialBytes: number;
  /** Greatest number of broken-off uploads: each large one holds a file open. Defaults to 256. */
  readonly maximumPartialUploads?: number;
}

interface Upload {
  readonly name: string;
  readonly writer: BlobWriter;
  /** Ends the call that feeds this upload now; undefined while nobody does. */
  interrupt: (() => void) | undefined;
  /** Settles once the call that feeds this upload now has let go of it. */
  released: Promise<void>;
  expiry: Timer | undefined;
}

/**
 * Uploads that may break off and go on, on top of any store that takes blobs piece by piece.
 *
 * An upload in one go is a plain write into the store: its bytes are hashed and written once. What a broken-off upload
 * has sent stays in its writer, hash state included, so that going on reads nothing back. Uploads end with the process:
 * a client that comes after a restart begins anew.
 *
 * A second call for the same upload takes over from the first, which ends with ABORTED: a client whose connection broke
 * comes back before the server has noticed.
 */
export class ResumableUploads implements UploadStore {
  readonly #blobs: BlobStore & BlobWriters;
  readonly #clock: Clock;
  readonly #options: ResumableUploadsOptions;
  readonly #uploads = new Map<string, Upload>();
  /** Broken-off uploads, the oldest first. */
  readonly #paused = new Set<Upload>();
  #pausedBytes = 0;

  constructor(blobs: BlobStore & BlobWriters, clock: Clock, options: ResumableUploadsOptions) {
    this.#blobs = blobs;
    this.#clock = clock;
    this.#options = options;
  }

  /** Bytes that broken-off uploads have left. */
  get partialBytes(): number {
    return this.#pausedBytes;
  }

  async status(uploadName: string, digest: Digest, signal: AbortSignal): Promise<UploadStatus> {
    // Before the storage is asked: an upload that ends meanwhile is known neither here nor, as of the question, there.
    const committedSize = this.#uploads.get(uploadKey(uploadName, digest))?.writer.receivedBytes;
    if (await isStored(this.#blobs, digest, signal)) return { committedSize: digest.sizeBytes, complete: true };
    if (committedSize === undefined) throw notFound(`nothing is known of upload ${uploadName}: begin it at offset 0`);
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
    const upload = await this.#take(uploadKey(uploadName, digest), digest, offset, signal);
    using link = linkSignals(signal);
    upload.interrupt = () => link.abort(takenOver(uploadName));
    let release!: () => void;
    upload.released = new Promise((resolve) => {
      release = resolve;
    });
    // Set where the bytes themselves turned out unusable: nothing is kept then.
    let spoiled = false;
    try {
      if (offset > upload.writer.receivedBytes) throw gap(offset, upload.writer.receivedBytes);
      await feed(source, upload.writer.receivedBytes - offset, link.signal, async (chunk) => {
        spoiled = true;
        await upload.writer.append(chunk);
        spoiled = false;
      });
      if (!finish()) return { committedSize: upload.writer.receivedBytes, complete: false };
      spoiled = true;
      await upload.writer.commit();
      return { committedSize: digest.sizeBytes, complete: true };
    } catch (cause) {
      spoiled ||= isOfWrongBytes(cause);
      throw cause;
    } finally {
      upload.interrupt = undefined;
      if (spoiled || upload.writer.receivedBytes === 0) await this.#drop(upload);
      else this.#pause(upload);
      release();
    }
  }

  /** Drops every broken-off upload and ends those under way. */
  async close(): Promise<void> {
    const uploads = [...this.#uploads.values()];
    for (const upload of uploads) upload.interrupt?.();
    await Promise.all(uploads.map((upload) => upload.released));
    await Promise.all([...this.#paused].map((upload) => this.#drop(upload)));
  }

  /** The upload of this name, taken from whoever feeds it now, or a new one. */
  async #take(key: string, digest: Digest, offset: number, signal: AbortSignal): Promise<Upload> {
    for (;;) {
      const known = this.#uploads.get(key);
      if (known === undefined) break;
      if (known.interrupt === undefined) {
        this.#unpause(known);
        return known;
      }
      known.interrupt();
      await raceSignal(known.released, signal);
    }
    if (offset > 0) throw gap(offset, 0);
    const upload: Upload = {
      name: key,
      writer: await this.#blobs.openWriter(digest, signal),
      interrupt: () => {},
      released: Promise.resolve(),
      expiry: undefined,
    };
    const rival = this.#uploads.get(key);
    if (rival !== undefined) {
      await upload.writer.abandon();
      return this.#take(key, digest, offset, signal);
    }
    this.#uploads.set(key, upload);
    return upload;
  }

  #pause(upload: Upload): void {
    this.#paused.add(upload);
    this.#pausedBytes += upload.writer.receivedBytes;
    upload.expiry = this.#clock.setTimer(this.#options.expiryMilliseconds, () => {
      void this.#drop(upload);
    });
    for (const oldest of this.#paused) {
      const { maximumPartialBytes, maximumPartialUploads = 256 } = this.#options;
      if (this.#pausedBytes <= maximumPartialBytes && this.#paused.size <= maximumPartialUploads) break;
      void this.#drop(oldest);
    }
  }

  #unpause(upload: Upload): void {
    upload.expiry?.cancel();
    upload.expiry = undefined;
    if (this.#paused.delete(upload)) this.#pausedBytes -= upload.writer.receivedBytes;
    // From here to the call that feeds it nothing is awaited, so that no other call can take it in between.
    upload.interrupt = () => {};
  }

  #drop(upload: Upload): Promise<void> {
    this.#unpause(upload);
    this.#uploads.delete(upload.name);
    return upload.writer.abandon();
  }
}
