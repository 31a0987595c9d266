import { type Digest, digestKey, isEmptyDigest } from '../../../domain/digest.ts';
import { digestFunctionByWireValue } from '../../../domain/digest-function.ts';
import { verifyBlob } from '../../../domain/digest-verifier.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { notFound, resourceExhausted, StatusError } from '../../../domain/status-error.ts';
import type { Clock } from '../../../lib/clock.ts';
import { DirectoryLock } from '../../../lib/directory-lock.ts';
import type { FilePool } from '../../../lib/file-pool.ts';
import { isDiskFull, isNotFound } from '../../../lib/file-system-error.ts';
import type { Random } from '../../../lib/ids.ts';
import type { Logger } from '../../../lib/log.ts';
import type { BlobPins } from '../../../ports/blob-pins.ts';
import type { BlobStore, ByteRange } from '../../../ports/blob-store.ts';
import type { BlobWriter, BlobWriters } from '../../../ports/blob-writers.ts';
import type { StoreMaintenance } from '../../../ports/store-maintenance.ts';
import { recordStoreOptions } from '../../segments/record-folder-configuration.ts';
import {
  digestRecordKey,
  keyHash,
  keySizeBytes,
  keyTag,
  newRecordKey,
  type RecordKey,
} from '../../segments/record-key.ts';
import { RecordStore } from '../../segments/record-store.ts';
import { toStatusError } from '../../segments/segment-log.ts';
import { PinTable } from '../pin-table.ts';
import { pour } from '../pour.ts';
import { endOfRange } from '../ranges.ts';
import { BlobFiles, DamagedFileError } from './blob-files.ts';
import { LargeBlobWriter, SmallBlobWriter, type WriterHost } from './disk-blob-writer.ts';
import type { DiskBlobStoreConfiguration } from './disk-configuration.ts';

const CHUNK_BYTES = 1024 * 1024;
const HASH_CHARACTERS = 64;

export interface DiskBlobStoreDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
  /** Hears how many blobs made room for others, and of how many bytes. Must not throw. */
  readonly onEvicted?: ((blobs: number, bytes: number) => void) | undefined;
}

/**
 * Blobs in a folder. Small ones are packed into segment files (see `RecordStore`), large ones lie in files of their own
 * (see `BlobFiles`); one index knows both, answers `findMissing` and says what to evict. docs/architecture/storage.md
 * has the formats and what is promised.
 */
export class DiskBlobStore implements BlobStore, BlobWriters, BlobPins {
  readonly #configuration: DiskBlobStoreConfiguration;
  readonly #lock: DirectoryLock;
  readonly #records: RecordStore;
  readonly #files: BlobFiles;
  readonly #pins: PinTable;
  readonly #reading: Map<string, number>;
  /** Small blobs being written, so that many writers of one blob write it once. */
  readonly #writing = new Map<string, Promise<void>>();
  #lastGroup: { readonly outcome: Promise<void>; readonly keys: string[] } | undefined;
  readonly #key = newRecordKey();
  readonly #writerHost: WriterHost;

  private constructor(
    configuration: DiskBlobStoreConfiguration,
    lock: DirectoryLock,
    records: RecordStore,
    files: BlobFiles,
    pins: PinTable,
    reading: Map<string, number>,
  ) {
    this.#configuration = configuration;
    this.#lock = lock;
    this.#records = records;
    this.#files = files;
    this.#pins = pins;
    this.#reading = reading;
    this.#writerHost = {
      sync: configuration.durability === 'sync',
      temporaryPath: () => files.temporaryPath(),
      reserve: (bytes) => records.reserve(bytes),
      unreserve: (bytes) => records.unreserve(bytes),
      failed: (cause) => {
        if (isDiskFull(cause)) records.relieve();
        return toStatusError(cause);
      },
      storeSmall: (digest, data) => this.#storeSmall(digest, data),
      storeFile: (digest, temporary) => this.#storeFile(digest, temporary),
    };
  }

  /**
   * Opens the folder, or makes it.
   *
   * @throws DirectoryLockedError when another process has it.
   */
  static async open(
    configuration: DiskBlobStoreConfiguration,
    dependencies: DiskBlobStoreDependencies,
    signal: AbortSignal,
  ): Promise<DiskBlobStore> {
    const { directory } = configuration;
    const options = recordStoreOptions(configuration, configuration.segmentBytes);
    const smallBlobBytes = Math.min(configuration.smallBlobBytes, options.segmentBytes / 4);
    const lock = await DirectoryLock.acquire(directory);
    try {
      let records: RecordStore | undefined;
      const pool = (): FilePool => {
        if (records === undefined) throw new Error('the store is not open yet');
        return records.files;
      };
      const files = new BlobFiles(directory, pool);
      const pins = new PinTable((digest) => keyText(recordKeyOf(digest)));
      const reading = new Map<string, number>();
      await files.prepare();
      const isKnown = (key: RecordKey) => records !== undefined && records.has(key);
      records = await RecordStore.open(
        options,
        {
          ...dependencies,
          certify,
          isPinned: (key) =>
            (pins.size > 0 || reading.size > 0) && (pins.isPinned(keyText(key)) || reading.has(keyText(key))),
          external: {
            bytesOf: (key) => files.bytesOf(key),
            remove: (key) => files.remove(key, () => isKnown(key)),
            list: (onStranger) => files.list(onStranger),
            verify: (key, signal) => files.verify(key, signal),
          },
        },
        signal,
      );
      return new DiskBlobStore({ ...configuration, smallBlobBytes }, lock, records, files, pins, reading);
    } catch (cause) {
      await lock.release();
      throw cause;
    }
  }

  /** Waits for what is being written, saves the index and gives the folder free. No other call may follow. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#writing.values());
    await this.#records.close();
    await this.#lock.release();
  }

  /** How many blobs are stored. */
  get count(): number {
    return this.#records.count;
  }

  /** Bytes on the disk, uploads under way included. */
  get usedBytes(): number {
    return this.#records.usedBytes;
  }

  /** What an operator can do about the store. */
  get maintenance(): StoreMaintenance {
    return this.#records.maintenance(blobName);
  }

  pin(owner: string, digests: Iterable<Digest>): void {
    this.#pins.pin(owner, digests);
  }

  unpin(owner: string): void {
    this.#pins.unpin(owner);
  }

  async findMissing(digests: readonly Digest[], signal: AbortSignal): Promise<Digest[]> {
    signal.throwIfAborted();
    const missing: Digest[] = [];
    const seen = new Set<string>();
    for (const digest of digests) {
      if (this.#isStored(digest)) continue;
      const key = digestKey(digest);
      if (seen.has(key)) continue;
      seen.add(key);
      missing.push(digest);
    }
    return missing;
  }

  async *read(digest: Digest, range: ByteRange, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const end = endOfRange(digest, range);
    if (isEmptyDigest(digest)) return;
    if (this.#records.locate(this.#keyOf(digest)) === 'external') {
      if (range.offset < end) yield* this.#readFile(digest, range.offset, end, signal);
      return;
    }
    const data = await this.readWhole(digest, signal);
    for (let offset = range.offset; offset < end; offset += CHUNK_BYTES) {
      signal.throwIfAborted();
      yield data.subarray(offset, Math.min(offset + CHUNK_BYTES, end));
    }
  }

  async readWhole(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    if (isEmptyDigest(digest)) return new Uint8Array(0);
    const key = recordKeyOf(digest);
    const data = await this.#records.get(key);
    if (data !== undefined) return data;
    if (this.#records.locate(key) === 'absent') throw missing(digest);
    const chunks: Uint8Array[] = [];
    for await (const chunk of this.#readFile(digest, 0, digest.sizeBytes, signal)) chunks.push(chunk);
    const [only] = chunks;
    return chunks.length === 1 && only !== undefined ? only : Buffer.concat(chunks, digest.sizeBytes);
  }

  write(digest: Digest, source: Uint8Array | AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    if (!(source instanceof Uint8Array)) return this.#writeStream(digest, source, signal);
    try {
      verifyBlob(digest, source);
    } catch (cause) {
      return Promise.reject(cause);
    }
    if (this.#isStored(digest)) return Promise.resolve();
    return this.#isSmall(digest) ? this.#storeSmall(digest, source) : this.#writeStream(digest, [source], signal);
  }

  async delete(digest: Digest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (!isEmptyDigest(digest)) await this.#records.remove(recordKeyOf(digest));
  }

  async openWriter(digest: Digest, signal: AbortSignal): Promise<BlobWriter> {
    signal.throwIfAborted();
    const { maximumSizeBytes } = this.#configuration;
    if (digest.sizeBytes > maximumSizeBytes) {
      throw resourceExhausted(
        `blob ${digestKey(digest)} is larger than the whole store may be (maximumSizeBytes: ${maximumSizeBytes})`,
        60_000,
      );
    }
    return this.#isSmall(digest)
      ? new SmallBlobWriter(digest, this.#writerHost)
      : new LargeBlobWriter(digest, this.#writerHost);
  }

  async #writeStream(
    digest: Digest,
    source: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void> {
    if (!isEmptyDigest(digest) && this.#isStored(digest)) return;
    await pour(await this.openWriter(digest, signal), source, signal);
  }

  #storeSmall(digest: Digest, data: Uint8Array): Promise<void> {
    if (this.#isStored(digest)) return Promise.resolve();
    const name = digestKey(digest);
    const under = this.#writing.get(name);
    if (under !== undefined) return under;
    const outcome = this.#records.put(recordKeyOf(digest), data);
    this.#writing.set(name, outcome);
    // All blobs of one group share one promise; they are taken off the list together, with one callback.
    if (this.#lastGroup?.outcome === outcome) {
      this.#lastGroup.keys.push(name);
    } else {
      const keys = [name];
      this.#lastGroup = { outcome, keys };
      const forget = () => {
        for (const each of keys) this.#writing.delete(each);
      };
      outcome.then(forget, forget);
    }
    return outcome;
  }

  async #storeFile(digest: Digest, temporary: string): Promise<void> {
    const key = recordKeyOf(digest);
    let published = false;
    await this.#files.publish(
      key,
      temporary,
      this.#writerHost.sync,
      () => !this.#records.has(key),
      () => {
        published = true;
        this.#records.addExternal(key);
      },
    );
    if (!published) this.#records.unreserve(this.#files.bytesOf(key));
  }

  async *#readFile(digest: Digest, start: number, end: number, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const key = recordKeyOf(digest);
    const name = keyText(key);
    this.#reading.set(name, (this.#reading.get(name) ?? 0) + 1);
    try {
      yield* this.#files.read(key, start, end, signal);
    } catch (cause) {
      if (isNotFound(cause)) {
        await this.#records.dropExternal(key);
        throw missing(digest);
      }
      if (!(cause instanceof DamagedFileError)) throw cause;
      await this.#records.dropExternal(key);
      throw new StatusError(
        StatusCode.DATA_LOSS,
        `the stored bytes of blob ${digestKey(digest)} are damaged and have been dropped: upload them anew`,
        { cause },
      );
    } finally {
      const count = (this.#reading.get(name) ?? 0) - 1;
      if (count > 0) this.#reading.set(name, count);
      else this.#reading.delete(name);
    }
  }

  #isSmall(digest: Digest): boolean {
    return digest.sizeBytes <= this.#configuration.smallBlobBytes;
  }

  #isStored(digest: Digest): boolean {
    return isEmptyDigest(digest) || this.#records.has(this.#keyOf(digest));
  }

  /** The key of a digest, in memory that the next call uses again. */
  #keyOf(digest: Digest): RecordKey {
    return digestRecordKey(digest.hash, digest.sizeBytes, digest.digestFunction.wireValue, this.#key);
  }
}

function recordKeyOf(digest: Digest): RecordKey {
  return digestRecordKey(digest.hash, digest.sizeBytes, digest.digestFunction.wireValue, newRecordKey());
}

function keyText(key: RecordKey): string {
  return `${keyHash(key, HASH_CHARACTERS)} ${key[8]} ${key[9]}`;
}

/** The digest, as far as a key holds its hash whole; else as much of it as there is. */
function blobName(key: RecordKey): string {
  const digestFunction = digestFunctionByWireValue(keyTag(key));
  const hash = keyHash(key, digestFunction?.hashLength ?? HASH_CHARACTERS);
  if (digestFunction === undefined) return `${hash}/${keySizeBytes(key)}`;
  return digestKey({ digestFunction, hash, sizeBytes: keySizeBytes(key) });
}

/** A blob proves itself: its hash is its key. */
function certify(key: RecordKey, payload: Uint8Array): boolean {
  const digestFunction = digestFunctionByWireValue(keyTag(key));
  if (digestFunction === undefined) return false;
  const own = digestRecordKey(digestFunction.hash(payload), payload.byteLength, keyTag(key), newRecordKey());
  return keyText(own) === keyText(key);
}

function missing(digest: Digest): StatusError {
  return notFound(`blob ${digestKey(digest)} is not stored`);
}
