import type { FilePool } from '../../lib/file-pool.ts';
import { recordBytes } from './record-format.ts';
import { NO_SEGMENT, type RecordIndex } from './record-index.ts';
import { newRecordKey, type RecordKey } from './record-key.ts';
import type { RecordStoreDependencies, RecordStoreOptions } from './record-store-options.ts';
import type { SegmentTable } from './segment.ts';

/** Compaction writes what is left of a segment before it removes it; eviction writes a few bytes for each record. */
const HEADROOM_SEGMENTS = 2;

/** How much there is of bytes on the disk and of records. */
export interface StoreLevel {
  readonly bytes: number;
  readonly count: number;
}

/** What a record store knows and counts; shared by its parts, each of which does one thing with it. */
export class StoreState {
  readonly options: RecordStoreOptions;
  readonly dependencies: RecordStoreDependencies;
  readonly files: FilePool;
  readonly segments: SegmentTable;
  index: RecordIndex;
  /** Bytes of records in files of their own. */
  externalBytes = 0;
  /** Bytes of what is under way. */
  reservedBytes = 0;
  /** Counts changes, so that a checkpoint is not written when nothing has changed. */
  changes = 0;
  /** Counts uses, for the same reason. */
  uses = 0;
  /** Counts bytes written to segments. */
  appendedBytes = 0;
  /** What may be used before uploads have to wait: what compaction needs in passing is kept free. */
  readonly admission: StoreLevel;
  /** Where cleaning begins, and where it ends. */
  readonly high: StoreLevel;
  readonly low: StoreLevel;
  readonly #key = newRecordKey();

  constructor(
    options: RecordStoreOptions,
    dependencies: RecordStoreDependencies,
    files: FilePool,
    segments: SegmentTable,
    index: RecordIndex,
  ) {
    this.options = options;
    this.dependencies = dependencies;
    this.files = files;
    this.segments = segments;
    this.index = index;
    const { maximumSizeBytes, maximumCount, segmentBytes, highWatermark, lowWatermark } = options;
    const count = maximumCount ?? Number.POSITIVE_INFINITY;
    const admissionBytes = maximumSizeBytes - HEADROOM_SEGMENTS * segmentBytes;
    const highBytes = Math.min(maximumSizeBytes * highWatermark, admissionBytes * 0.98);
    this.admission = { bytes: admissionBytes, count };
    this.high = { bytes: highBytes, count: count * highWatermark };
    this.low = { bytes: Math.min(maximumSizeBytes * lowWatermark, highBytes), count: count * lowWatermark };
  }

  /** Whether there is room for one more record. */
  hasRoomFor(bytes: number): boolean {
    return this.usedBytes + bytes <= this.admission.bytes && this.index.count < this.admission.count;
  }

  /** Whether more is there than this. */
  isAbove(level: StoreLevel): boolean {
    return this.usedBytes > level.bytes || this.index.count > level.count;
  }

  /** Bytes on the disk, those under way included. */
  get usedBytes(): number {
    return this.segments.totalBytes + this.externalBytes + this.reservedBytes;
  }

  /** Whether more is stored than this, what is on its way not counted. */
  isStoredAbove(level: StoreLevel): boolean {
    return this.usedBytes - this.reservedBytes > level.bytes || this.index.count > level.count;
  }

  nowSeconds(): number {
    return Math.floor(this.dependencies.clock.now() / 1000);
  }

  /**
   * Tells of a time of use, in seconds, whether what was used then is too young to be evicted. One that lies far ahead
   * is of a clock that has been set back since, and protects nothing: else nothing could be evicted for as long.
   */
  youth(): (lastUseSeconds: number) => boolean {
    const now = this.dependencies.clock.now() / 1000;
    const age = this.options.minimumAgeMilliseconds / 1000;
    return (lastUseSeconds) => lastUseSeconds > now - age && lastUseSeconds < now + age;
  }

  /** Bytes on the disk of an entry. */
  bytesOf(id: number): number {
    if (this.index.segmentOf(id) !== NO_SEGMENT) return recordBytes(this.index.lengthOf(id));
    return this.dependencies.external?.bytesOf(this.index.readKey(id, this.#key)) ?? 0;
  }

  /** Enters a file of its own that the index does not know. @returns its entry. */
  addExternal(key: RecordKey, lastUseSeconds: number): number {
    this.externalBytes += this.dependencies.external?.bytesOf(key) ?? 0;
    this.changes += 1;
    return this.index.insert(key, NO_SEGMENT, 0, 0, lastUseSeconds);
  }

  /** Takes an entry out of the index. @returns the bytes that it lay on: at once, or once its segment is compacted. */
  forget(id: number): number {
    const segment = this.index.segmentOf(id);
    const bytes = this.bytesOf(id);
    if (segment === NO_SEGMENT) this.externalBytes -= bytes;
    else this.segments.addLive(segment, -bytes);
    this.index.remove(id);
    this.changes += 1;
    return bytes;
  }
}
