import { join } from 'node:path';
import { DirectoryLock } from '../../lib/directory-lock.ts';
import { RecordStore } from './record-store.ts';
import type { RecordStoreDependencies } from './record-store-options.ts';

/** What the configuration of a folder of small records says. */
export interface RecordFolderConfiguration {
  readonly directory: string;
  readonly maximumSizeBytes: number;
  readonly maximumCount?: number | undefined;
  readonly highWatermark: number;
  readonly lowWatermark: number;
  readonly minimumAgeSeconds: number;
  readonly durability: 'none' | 'sync';
  readonly openFiles: number;
}

const SEGMENT_BYTES = 32 * 1024 * 1024;
const LEAST_SEGMENT_BYTES = 32 * 1024;

/** A folder of small records that can be made anew, such as results of actions, and that no other process may open. */
export class RecordFolder {
  readonly records: RecordStore;
  readonly #lock: DirectoryLock;

  private constructor(records: RecordStore, lock: DirectoryLock) {
    this.records = records;
    this.#lock = lock;
  }

  /** Opens the folder, or makes it. @throws DirectoryLockedError when another process has it. */
  static async open(
    configuration: RecordFolderConfiguration,
    dependencies: RecordStoreDependencies,
    signal: AbortSignal,
  ): Promise<RecordFolder> {
    const { directory, maximumSizeBytes } = configuration;
    const lock = await DirectoryLock.acquire(directory);
    try {
      const records = await RecordStore.open(
        {
          directory: join(directory, 'segments'),
          maximumSizeBytes,
          maximumCount: configuration.maximumCount,
          highWatermark: configuration.highWatermark,
          lowWatermark: configuration.lowWatermark,
          minimumAgeMilliseconds: configuration.minimumAgeSeconds * 1000,
          segmentBytes: Math.min(SEGMENT_BYTES, Math.max(LEAST_SEGMENT_BYTES, maximumSizeBytes / 64)),
          sync: configuration.durability === 'sync',
          openFiles: configuration.openFiles,
        },
        dependencies,
        signal,
      );
      return new RecordFolder(records, lock);
    } catch (cause) {
      await lock.release();
      throw cause;
    }
  }

  /** Waits for what is being written, saves the index and gives the folder free. No other call may follow. */
  async close(): Promise<void> {
    await this.records.close();
    await this.#lock.release();
  }
}
