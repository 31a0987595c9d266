import { setMaxListeners } from 'node:events';
import { type Digest, digestKey, isEmptyDigest } from '../../../domain/digest.ts';
import { DigestVerifier } from '../../../domain/digest-verifier.ts';
import { type LinkedSignal, linkSignals } from '../../../lib/abort.ts';
import type { Logger } from '../../../lib/log.ts';
import { Semaphore } from '../../../lib/semaphore.ts';
import type { BlobWriter } from '../../../ports/blob-writers.ts';
import type { ObjectPlace, S3Objects, UploadedPart } from '../../s3/s3-objects.ts';

/** For requests that are bounded by their own time limit and tries alone. */
const UNENDING = new AbortController().signal;
setMaxListeners(0, UNENDING);

export interface S3BlobWriterOptions {
  readonly objects: S3Objects;
  readonly place: ObjectPlace;
  /** Size of all parts but the last, in bytes. */
  readonly partBytes: number;
  /** Parts under way at once. */
  readonly concurrentParts: number;
  readonly logger: Logger;
  /** Ends the upload when aborted; undefined for one that outlives the call that began it. */
  readonly signal?: AbortSignal;
}

/**
 * One blob on its way to S3: in one request if it is no larger than a part, else part by part as it comes.
 *
 * It becomes visible by the last request alone, which is made once the hash is known to be right. Memory holds the part
 * that is being filled and those under way; while the client pauses, no request is.
 */
export class S3BlobWriter implements BlobWriter {
  readonly digest: Digest;
  readonly #options: S3BlobWriterOptions;
  readonly #verifier: DigestVerifier;
  readonly #gate: Semaphore;
  /** Ends the requests of this upload. */
  readonly #stop: LinkedSignal;
  readonly #parts: Array<Promise<UploadedPart>> = [];
  #chunks: Uint8Array[] = [];
  #gathered = 0;
  #upload: Promise<string> | undefined;
  #failure: { readonly cause: unknown } | undefined;
  #ended = false;

  constructor(digest: Digest, options: S3BlobWriterOptions) {
    this.digest = digest;
    this.#options = options;
    this.#verifier = new DigestVerifier(digest);
    this.#gate = new Semaphore(options.concurrentParts);
    this.#stop = linkSignals(...(options.signal === undefined ? [] : [options.signal]));
  }

  get receivedBytes(): number {
    return this.#verifier.receivedBytes;
  }

  async append(chunk: Uint8Array): Promise<void> {
    this.#verifier.update(chunk);
    const { partBytes } = this.#options;
    for (let offset = 0; offset < chunk.byteLength; ) {
      const taken = chunk.subarray(offset, offset + partBytes - this.#gathered);
      this.#chunks.push(taken);
      this.#gathered += taken.byteLength;
      offset += taken.byteLength;
      // A blob of one part goes at the end, and the last part of any waits for the hash.
      if (this.#gathered === partBytes && this.receivedBytes - chunk.byteLength + offset < this.digest.sizeBytes) {
        await this.#send();
      }
    }
  }

  async commit(): Promise<void> {
    this.#verifier.finish();
    const { objects, place } = this.#options;
    if (isEmptyDigest(this.digest)) {
      // Every store has it.
    } else if (this.#parts.length === 0) {
      await objects.put(place, this.#take(), this.#stop.signal);
    } else {
      await this.#send();
      const parts = await Promise.all(this.#parts);
      await objects.completeUpload(place, await this.#begin(), parts, this.digest.sizeBytes, this.#stop.signal);
    }
    this.#ended = true;
    this.#stop[Symbol.dispose]();
  }

  async abandon(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#chunks = [];
    this.#stop.abort(new Error('the upload was abandoned'));
    if (this.#upload === undefined) return;
    const { objects, place, logger } = this.#options;
    // A part that arrived after the upload was dropped would stay.
    await Promise.allSettled(this.#parts);
    try {
      await objects.abortUpload(place, await this.#upload, UNENDING);
    } catch (cause) {
      logger.warn(
        { blob: digestKey(this.digest), err: cause },
        'parts of a broken-off upload stay on S3 until they are old enough to be dropped',
      );
    }
  }

  /** Sends what is gathered as the next part; waits until few enough are under way. */
  async #send(): Promise<void> {
    this.#throwFailure();
    const bytes = this.#take();
    const number = this.#parts.length + 1;
    const { objects, place } = this.#options;
    const { signal } = this.#stop;
    let entered!: () => void;
    const underWay = new Promise<void>((resolve) => (entered = resolve));
    const part = this.#gate.run(async () => {
      entered();
      return objects.uploadPart(place, await this.#begin(), number, bytes, signal);
    }, signal);
    this.#parts.push(part);
    part.catch((cause: unknown) => {
      this.#failure ??= { cause };
      entered();
    });
    await underWay;
    this.#throwFailure();
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.cause;
  }

  #begin(): Promise<string> {
    // Seen to its end even where the blob is abandoned meanwhile: an upload whose name nobody knows can't be dropped.
    this.#upload ??= this.#options.objects.beginUpload(this.#options.place, UNENDING);
    return this.#upload;
  }

  #take(): Uint8Array {
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#gathered = 0;
    return chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks);
  }
}
