import type { Digest } from '../../../domain/digest.ts';
import type { Clock } from '../../../lib/clock.ts';
import type { Random } from '../../../lib/ids.ts';
import { KeyedLock } from '../../../lib/keyed-lock.ts';
import type { Logger } from '../../../lib/log.ts';
import type { ActionCacheStore } from '../../../ports/action-cache-store.ts';
import type { StoreMaintenance } from '../../../ports/store-maintenance.ts';
import { RecordFolder } from '../../segments/record-folder.ts';
import { keyHash, type RecordKey, textRecordKey } from '../../segments/record-key.ts';
import { actionResultKey } from '../action-result-key.ts';
import type { DiskActionCacheConfiguration } from './disk-configuration.ts';

const KEY_HASH_CHARACTERS = 64;

/** Results of actions in the segment files of a folder; see `RecordStore`. A damaged entry is a miss. */
export class DiskActionCacheStore implements ActionCacheStore {
  readonly #folder: RecordFolder;
  /** One process has the folder: what happens in turn here happens in turn. */
  readonly #turns = new KeyedLock();

  private constructor(folder: RecordFolder) {
    this.#folder = folder;
  }

  /** Opens the folder, or makes it. @throws DirectoryLockedError when another process has it. */
  static async open(
    configuration: DiskActionCacheConfiguration,
    dependencies: { readonly clock: Clock; readonly logger: Logger; readonly random: Random },
    signal: AbortSignal,
  ): Promise<DiskActionCacheStore> {
    return new DiskActionCacheStore(await RecordFolder.open(configuration, dependencies, signal));
  }

  /** Waits for what is being written, saves the index and gives the folder free. No other call may follow. */
  close(): Promise<void> {
    return this.#folder.close();
  }

  /** How many results are stored. */
  get count(): number {
    return this.#folder.records.count;
  }

  /** Bytes on the disk. */
  get usedBytes(): number {
    return this.#folder.records.usedBytes;
  }

  /** What an operator can do about the store. Results are known by the hash of action digest and instance. */
  get maintenance(): StoreMaintenance {
    return this.#folder.records.maintenance((key) => `result ${keyHash(key, KEY_HASH_CHARACTERS)}`);
  }

  async get(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined> {
    signal.throwIfAborted();
    return this.#folder.records.getIntact(keyOf(instanceName, actionDigest));
  }

  put(instanceName: string, actionDigest: Digest, actionResult: Uint8Array, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return Promise.reject(signal.reason);
    return this.#folder.records.put(keyOf(instanceName, actionDigest), actionResult);
  }

  putFirst(
    instanceName: string,
    actionDigest: Digest,
    actionResult: Uint8Array,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    return this.#turns.run(actionResultKey(instanceName, actionDigest), async () => {
      const before = await this.get(instanceName, actionDigest, signal);
      if (before === undefined) await this.put(instanceName, actionDigest, actionResult, signal);
      return before;
    });
  }

  async delete(instanceName: string, actionDigest: Digest, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#folder.records.remove(keyOf(instanceName, actionDigest));
  }
}

function keyOf(instanceName: string, actionDigest: Digest): RecordKey {
  return textRecordKey(actionResultKey(instanceName, actionDigest));
}
