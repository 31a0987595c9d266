import { DirectoryLock } from '../../lib/directory-lock.ts';
import { type RecordFolderConfiguration, recordStoreOptions } from './record-folder-configuration.ts';
import { RecordStore } from './record-store.ts';
import type { RecordStoreDependencies } from './record-store-options.ts';

const SEGMENT_BYTES = 32 * 1024 * 1024;

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
    const lock = await DirectoryLock.acquire(configuration.directory);
    try {
      const records = await RecordStore.open(recordStoreOptions(configuration, SEGMENT_BYTES), dependencies, signal);
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
