import { join } from 'node:path';
import { type Digest, digestKey } from '../../../domain/digest.ts';
import type { Clock } from '../../../lib/clock.ts';
import { DirectoryLock } from '../../../lib/directory-lock.ts';
import type { Random } from '../../../lib/ids.ts';
import type { Logger } from '../../../lib/log.ts';
import type { ActionCacheStore } from '../../../ports/action-cache-store.ts';
import { type RecordKey, textRecordKey } from '../../segments/record-key.ts';
import { RecordStore } from '../../segments/record-store.ts';
import type { DiskActionCacheConfiguration } from './disk-configuration.ts';

const SEGMENT_BYTES = 32 * 1024 * 1024;

/** Results of actions in the segment files of a folder; see `RecordStore`. A damaged entry is a miss. */
export class DiskActionCacheStore implements ActionCacheStore {
  readonly #lock: DirectoryLock;
  readonly #records: RecordStore;

  private constructor(lock: DirectoryLock, records: RecordStore) {
    this.#lock = lock;
    this.#records = records;
  }

  /** Opens the folder, or makes it. @throws DirectoryLockedError when another process has it. */
  static async open(
    configuration: DiskActionCacheConfiguration,
    dependencies: { readonly clock: Clock; readonly logger: Logger; readonly random: Random },
    signal: AbortSignal,
  ): Promise<DiskActionCacheStore> {
    const { directory, maximumSizeBytes } = configuration;
    const lock = await DirectoryLock.acquire(directory);
    try {
      const records = await RecordStore.open(
        {
          directory: join(directory, 'segments'),
          maximumSizeBytes,
          highWatermark: configuration.highWatermark,
          lowWatermark: configuration.lowWatermark,
          minimumAgeMilliseconds: configuration.minimumAgeSeconds * 1000,
          segmentBytes: Math.min(SEGMENT_BYTES, Math.max(32 * 1024, maximumSizeBytes / 64)),
          sync: configuration.durability === 'sync',
          openFiles: configuration.openFiles,
        },
        dependencies,
        signal,
      );
      return new DiskActionCacheStore(lock, records);
    } catch (cause) {
      await lock.release();
      throw cause;
    }
  }

  /** Waits for what is being written, saves the index and gives the folder free. No other call may follow. */
  async close(): Promise<void> {
    await this.#records.close();
    await this.#lock.release();
  }

  /** How many results are stored. */
  get count(): number {
    return this.#records.count;
  }

  /** Bytes on the disk. */
  get usedBytes(): number {
    return this.#records.usedBytes;
  }

  async get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined> {
    signal.throwIfAborted();
    return this.#records.getIntact(keyOf(instanceName, actionDigest));
  }

  put(instanceName: string, actionDigest: Digest, actionResult: Uint8Array, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    return this.#records.put(keyOf(instanceName, actionDigest), actionResult);
  }

  async delete(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#records.remove(keyOf(instanceName, actionDigest));
  }
}

function keyOf(instanceName: string, actionDigest: Digest): RecordKey {
  return textRecordKey(`${digestKey(actionDigest)} ${instanceName}`);
}
