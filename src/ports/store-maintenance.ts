/** How full a store is. */
export interface StoreUsage {
  readonly entries: number;
  readonly bytes: number;
  readonly maximumBytes: number;
  /** Undefined where there is no limit on how many. */
  readonly maximumEntries: number | undefined;
}

/** What a cleaning has evicted, or would evict. */
export interface CleaningReport {
  readonly entries: number;
  readonly bytes: number;
  /** When the entry of them that was used least recently was used, and when the last one, in milliseconds since the epoch. */
  readonly oldestUse: number | undefined;
  readonly newestUse: number | undefined;
  /** Uploads that were dropped, or would be, since the process that began them is gone. */
  readonly unfinishedUploads: number;
}

/**
 * Where an index and its store do not agree about an entry.
 *
 * - `lost`: the index has it, the store does not.
 * - `damaged`: the store has bytes that are not those that were stored.
 * - `unknown`: the store has it, the index does not.
 */
export interface IndexDifference {
  readonly what: 'lost' | 'damaged' | 'unknown';
  /** The entry as people know it: the digest of a blob. */
  readonly entry: string;
}

/** How an index was made to agree with its store. */
export interface RebuildReport {
  /** Entries that the index has now. */
  readonly entries: number;
  readonly bytes: number;
  /** Entries that were put in, and that were taken out. */
  readonly added: number;
  readonly removed: number;
  /** Whether the store could list what it has; without, nothing could be added. */
  readonly listed: boolean;
}

/** A store that something can be removed from while it serves. */
export interface StoreCleaning {
  /**
   * Drops what dead processes have left half done. A store that has an index evicts what was used least recently, too,
   * down to the low watermark or to `targetBytes`; what is younger than the minimum age, or needed by an unfinished job,
   * stays.
   *
   * @param dryRun to remove nothing and tell what would go now.
   */
  clean(targetBytes: number | undefined, dryRun: boolean, signal: AbortSignal): Promise<CleaningReport>;
}

/** What an operator can do about a store that has an index, while it serves. */
export interface StoreMaintenance extends StoreCleaning {
  usage(signal: AbortSignal): Promise<StoreUsage>;

  /** Holds index and store against each other, in both directions where the store can list what it has. */
  check(signal: AbortSignal): AsyncIterable<IndexDifference>;

  /** Makes the index agree with the store. */
  rebuild(signal: AbortSignal): Promise<RebuildReport>;
}

/** A store that can be looked after. */
export interface MaintainedStore {
  /** Where it is in the configuration, such as `blobs.fast`. */
  readonly path: string;
  readonly maintenance: StoreCleaning | StoreMaintenance;
}

/** A store that has an index. */
export interface IndexedStore extends MaintainedStore {
  readonly maintenance: StoreMaintenance;
}

/** Tells the stores that have an index from those that can only be cleaned. */
export function hasIndex(store: MaintainedStore): store is IndexedStore {
  return 'rebuild' in store.maintenance;
}
