import type { Clock } from '../../lib/clock.ts';
import type { Random } from '../../lib/ids.ts';
import type { Logger } from '../../lib/log.ts';
import type { RecordKey } from './record-key.ts';
import type { Certify } from './segment-scan.ts';

export interface RecordStoreOptions {
  /** Where segments and checkpoints lie. Must be locked by the caller. */
  readonly directory: string;
  /** Greatest number of bytes on the disk, those under way included. */
  readonly maximumSizeBytes: number;
  /** Greatest number of records, those under way not counted; undefined for any number. */
  readonly maximumCount?: number | undefined;
  /** Part of both at which cleaning begins, and part down to which it cleans. */
  readonly highWatermark: number;
  readonly lowWatermark: number;
  /** Records used within so many milliseconds are not evicted. */
  readonly minimumAgeMilliseconds: number;
  readonly segmentBytes: number;
  /** Whether a record is on the disk, and not only with the kernel, before it counts as written. */
  readonly sync: boolean;
  /** How many files are open for reading at most. */
  readonly openFiles: number;
}

/** Records whose bytes the store's user keeps in files of their own. The store knows their keys, sizes and last use. */
export interface ExternalRecords {
  /** Bytes on the disk of the file of this key. */
  bytesOf(key: RecordKey): number;
  /** Removes the file. One that is not there is ignored. */
  remove(key: RecordKey): Promise<void>;
  /**
   * Every whole file that is there.
   *
   * @param onStranger is given the path of whatever else lies there.
   */
  list(
    onStranger?: (path: string) => Promise<void>,
  ): AsyncIterable<{ readonly key: RecordKey; readonly lastUseSeconds: number }>;
  /** Reads a file and holds it against its checksums. */
  verify(key: RecordKey, signal: AbortSignal): Promise<'whole' | 'lost' | 'damaged'>;
}

export interface RecordStoreDependencies {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: Random;
  /** Keys that eviction must leave alone. */
  readonly isPinned?: (key: RecordKey) => boolean;
  /** Hears how many records made room for others, and of how many bytes. Must not throw. */
  readonly onEvicted?: ((records: number, bytes: number) => void) | undefined;
  readonly certify?: Certify;
  readonly external?: ExternalRecords;
}
