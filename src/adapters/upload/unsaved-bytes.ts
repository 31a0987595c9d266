import type { Clock, Timer } from '../../lib/clock.ts';
import type { Logger } from '../../lib/log.ts';
import type { PartialUploads } from './partial-uploads.ts';

/** Beyond so much, what has come is saved while the upload goes on. Most uploads are smaller, and never are. */
const MOST_UNSAVED_BYTES = 4 * 1024 * 1024;
/** What has waited so long is saved: of a connection that broke, a server may hear nothing for minutes. */
const SAVED_AFTER_MS = 1_000;

/** For calls that are bounded by the connection's own time limit. */
const UNENDING = new AbortController().signal;

/** What one call has brought of an upload, until all replicas know of it. */
export class UnsavedBytes {
  readonly #upload: string;
  readonly #partial: PartialUploads;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #chunks: Uint8Array[] = [];
  #bytes = 0;
  /** Where the unsaved bytes begin. */
  #offset = 0;
  #saved = 0;
  /** Whether what comes now can't be saved: it would leave a gap, or be too much. */
  #closed = false;
  #timer: Timer | undefined;
  #saving: Promise<void> = Promise.resolve();

  constructor(upload: string, partial: PartialUploads, clock: Clock, logger: Logger) {
    this.#upload = upload;
    this.#partial = partial;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** How many bytes of the upload all replicas know, as far as is known here. */
  get saved(): number {
    return this.#saved;
  }

  /** @param saved how many bytes of the upload are saved, behind which the first to come belong. */
  begin(saved: number): void {
    this.#saved = saved;
    this.#offset = saved;
  }

  /** Takes the next bytes, which must not be changed any more; waits while too many are unsaved. */
  async add(chunk: Uint8Array): Promise<void> {
    if (this.#closed) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.byteLength;
    this.#timer ??= this.#clock.setTimer(SAVED_AFTER_MS, () => {
      this.#timer = undefined;
      void this.#trySave();
    });
    if (this.#bytes > MOST_UNSAVED_BYTES) await this.#trySave();
  }

  /** Saves all that has come. @throws UNAVAILABLE or RESOURCE_EXHAUSTED. */
  save(): Promise<void> {
    this.#saving = this.#saving.then(
      () => this.#saveNow(),
      () => this.#saveNow(),
    );
    return this.#saving;
  }

  /** Lets go of what has not been saved. */
  end(): void {
    this.#closed = true;
    this.#chunks = [];
    this.#bytes = 0;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async #saveNow(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#bytes === 0) return;
    const bytes = Buffer.concat(this.#chunks);
    const offset = this.#offset;
    this.#chunks = [];
    this.#bytes = 0;
    this.#offset += bytes.byteLength;
    try {
      this.#saved = await this.#partial.append(this.#upload, offset, bytes, UNENDING);
    } catch (cause) {
      this.end();
      throw cause;
    }
    if (this.#saved < offset + bytes.byteLength) this.end();
  }

  /** The upload goes on whether it could be saved or not. */
  async #trySave(): Promise<void> {
    try {
      await this.save();
    } catch (cause) {
      this.#logger.warn(
        { err: cause },
        'what has come of an upload could not be saved: if it breaks off, it begins anew',
      );
    }
  }
}
