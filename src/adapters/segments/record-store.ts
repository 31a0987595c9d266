import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import { FilePool } from '../../lib/file-pool.ts';
import { errorCode, isDiskFull, isNotFound } from '../../lib/file-system-error.ts';
import type { StoreMaintenance } from '../../ports/store-maintenance.ts';
import { Housekeeping } from './housekeeping.ts';
import { decodeValue, RECORD_HEADER_BYTES, RecordKind, recordBytes } from './record-format.ts';
import { NO_SEGMENT, RecordIndex } from './record-index.ts';
import { newRecordKey, type RecordKey } from './record-key.ts';
import { RecordMaintenance } from './record-maintenance.ts';
import { readRecord } from './record-reading.ts';
import type { RecordStoreDependencies, RecordStoreOptions } from './record-store-options.ts';
import { SegmentTable } from './segment.ts';
import { type LogOwner, type NewRecord, SegmentLog } from './segment-log.ts';
import { type Recovered, recoverStore } from './store-recovery.ts';
import { StoreState } from './store-state.ts';

/** A record may move while it is read; more often in a row than this it does not. */
const READ_ATTEMPTS = 4;
const NO_BYTES = new Uint8Array(0);

/** Where the record of a key lies. */
export type Whereabouts = 'absent' | 'segment' | 'external';

/**
 * Values by key, appended to segment files: what blobs and the action cache on disk have in common.
 *
 * A value is there once `put` resolves, whole, also after the process has been killed. Keys, places and last use are in
 * memory, and on the disk as a checkpoint and the log behind it.
 */
export class RecordStore implements LogOwner {
  readonly #state: StoreState;
  readonly #log: SegmentLog;
  readonly #housekeeping: Housekeeping;

  private constructor(state: StoreState, { known, active, nextNumber }: Recovered) {
    this.#state = state;
    this.#log = new SegmentLog(state.options, state.segments, this, active, nextNumber);
    this.#housekeeping = new Housekeeping(state, this.#log, known);
  }

  /** Opens the store in a folder that the caller has locked, and mends what an earlier process left half done. */
  static async open(
    options: RecordStoreOptions,
    dependencies: RecordStoreDependencies,
    signal: AbortSignal,
  ): Promise<RecordStore> {
    const segments = new SegmentTable();
    const files = new FilePool(options.openFiles);
    const index = new RecordIndex(dependencies.random() * 2 ** 32);
    const state = new StoreState(options, dependencies, files, segments, index);
    return new RecordStore(state, await recoverStore(state, signal));
  }

  /** How many records there are. */
  get count(): number {
    return this.#state.index.count;
  }

  /** Bytes on the disk, those under way included. */
  get usedBytes(): number {
    return this.#state.usedBytes;
  }

  /** The files that reads go through; for the user's own files too, so that one bound holds for all. */
  get files(): FilePool {
    return this.#state.files;
  }

  /** Where the record of this key lies. Counts as a use. */
  locate(key: RecordKey): Whereabouts {
    const { index } = this.#state;
    const id = index.find(key);
    if (id < 0) return 'absent';
    this.#state.uses += 1;
    index.touch(id, this.#state.nowSeconds());
    return index.segmentOf(id) === NO_SEGMENT ? 'external' : 'segment';
  }

  /** Whether there is a record of this key. Counts as a use. */
  has(key: RecordKey): boolean {
    return this.locate(key) !== 'absent';
  }

  /**
   * The value of a key, in a buffer of its own, or undefined. Counts as a use.
   *
   * @throws DATA_LOSS when what is on the disk is damaged; the record is gone then.
   */
  async get(key: RecordKey): Promise<Buffer | undefined> {
    const { index, segments } = this.#state;
    for (let attempt = 1; ; attempt++) {
      if (this.locate(key) !== 'segment') return undefined;
      const id = index.find(key);
      const number = index.segmentOf(id);
      const place = index.offsetOf(id);
      const segment = segments.get(number);
      const record = Buffer.allocUnsafe(RECORD_HEADER_BYTES + index.lengthOf(id));
      const failure = segment === undefined ? undefined : await readRecord(this.#state.files, segment, place, record);
      const payload = failure === undefined ? decodeValue(record, number, place, key) : undefined;
      if (payload !== undefined) return payload;
      if (failure !== undefined && !isNotFound(failure) && errorCode(failure) !== 'EIO') throw failure;
      const now = index.find(key);
      if (now < 0) return undefined;
      const moved = index.segmentOf(now) !== number || index.offsetOf(now) !== place;
      if (moved && attempt < READ_ATTEMPTS) continue;
      this.#state.forget(now);
      this.#logRemoval(key);
      const { logger } = this.#state.dependencies;
      logger.error({ segment: number, place, err: failure }, 'a stored record is damaged; it is dropped');
      throw new StatusError(
        StatusCode.DATA_LOSS,
        'the stored bytes are damaged and have been dropped: upload them anew',
      );
    }
  }

  /** As `get`, and undefined also for a record that turned out damaged: for values that can be made anew. */
  async getIntact(key: RecordKey): Promise<Buffer | undefined> {
    try {
      return await this.get(key);
    } catch (cause) {
      if (cause instanceof StatusError && cause.code === StatusCode.DATA_LOSS) return undefined;
      throw cause;
    }
  }

  /**
   * Stores or replaces a value. Neither key nor value may be changed before the promise has settled. Of values put one
   * after the other the last stands.
   *
   * @throws RESOURCE_EXHAUSTED when there is no room.
   */
  put(key: RecordKey, payload: Uint8Array): Promise<void> {
    const room = this.reserve(recordBytes(payload.byteLength));
    return room === undefined ? this.#append(key, payload) : room.then(() => this.#append(key, payload));
  }

  /** Removes a record. @returns once it cannot come back, not even after a crash; at once where there is none. */
  async remove(key: RecordKey): Promise<void> {
    const { index, dependencies } = this.#state;
    const id = index.find(key);
    if (id >= 0) {
      const external = index.segmentOf(id) === NO_SEGMENT;
      this.#state.forget(id);
      if (external) {
        await dependencies.external?.remove(key);
        return;
      }
    } else if (!this.#log.busy) {
      return;
    }
    await this.#log.append(this.#removal(key));
    this.#housekeeping.consider();
  }

  /** Enters a file of its own that now stands in its place. The room reserved for it is taken over. */
  addExternal(key: RecordKey): void {
    const { index, dependencies } = this.#state;
    const id = index.find(key);
    const bytes = dependencies.external?.bytesOf(key) ?? 0;
    this.#state.reservedBytes -= bytes;
    if (id >= 0) {
      index.touch(id, this.#state.nowSeconds());
      return;
    }
    this.#state.addExternal(key, this.#state.nowSeconds());
    this.#housekeeping.consider();
  }

  /** Forgets a file of its own that turned out gone or damaged, and removes it. */
  async dropExternal(key: RecordKey): Promise<void> {
    const { index, dependencies } = this.#state;
    const id = index.find(key);
    if (id < 0 || index.segmentOf(id) !== NO_SEGMENT) return;
    this.#state.forget(id);
    await dependencies.external?.remove(key);
  }

  /**
   * Takes room for what is about to be written, making some if need be; give it back with `unreserve`. Above the high
   * watermark it waits until cleaning has made progress.
   *
   * @returns undefined where there was room. @throws RESOURCE_EXHAUSTED when there is none to be had.
   */
  reserve(bytes: number): Promise<void> | undefined {
    if (!this.#state.hasRoomFor(bytes)) return this.#housekeeping.makeRoom(bytes);
    this.#state.reservedBytes += bytes;
    this.#housekeeping.consider();
    return this.#housekeeping.untilBelowHigh();
  }

  unreserve(bytes: number): void {
    this.#state.reservedBytes -= bytes;
  }

  /** The disk has turned out full below the configured size: something must go. */
  relieve(): void {
    this.#housekeeping.relieve();
  }

  /** Gives the room of unused records back, without evicting anything, as far as it is worth the copying. */
  compact(signal: AbortSignal): Promise<void> {
    return this.#housekeeping.compact(signal);
  }

  /** What an operator can do about the store. @param nameOf says how people know a record. */
  maintenance(nameOf: (key: RecordKey) => string): StoreMaintenance {
    return new RecordMaintenance(this.#state, this.#housekeeping, (key) => this.remove(key), nameOf);
  }

  /** Ends cleaning and waits for what is being written; with a checkpoint, so that the next start is quick. */
  async close(): Promise<void> {
    await this.#housekeeping.close();
    this.#state.files.closeAll();
  }

  isWanted(record: NewRecord): boolean {
    return this.#idOfMoved(record) >= 0;
  }

  committed(record: NewRecord, segment: number, place: number): void {
    const { index, segments } = this.#state;
    const bytes = recordBytes(record.payload.byteLength);
    this.#state.changes += 1;
    this.#state.appendedBytes += bytes;
    if (record.movedFrom !== undefined) {
      const id = this.#idOfMoved(record);
      if (id < 0) return;
      segments.addLive(record.movedFrom.segment, -bytes);
      segments.addLive(segment, bytes);
      index.relocate(id, segment, place);
      return;
    }
    const known = index.find(record.key);
    if (known >= 0) this.#state.forget(known);
    if (record.kind === RecordKind.REMOVAL) return;
    this.#state.reservedBytes -= bytes;
    index.insert(record.key, segment, place, record.payload.byteLength, this.#state.nowSeconds());
    segments.addLive(segment, bytes);
  }

  dropped(record: NewRecord, cause: unknown): void {
    if (isDiskFull(cause)) this.relieve();
    if (record.kind === RecordKind.VALUE && record.movedFrom === undefined) {
      this.#state.reservedBytes -= recordBytes(record.payload.byteLength);
    }
  }

  /** The entry that still lies where this record is moved from, or -1. */
  #idOfMoved(record: NewRecord): number {
    const { index } = this.#state;
    const from = record.movedFrom;
    const id = index.find(record.key);
    if (from === undefined || id < 0) return -1;
    return index.segmentOf(id) === from.segment && index.offsetOf(id) === from.place ? id : -1;
  }

  #append(key: RecordKey, payload: Uint8Array): Promise<void> {
    return this.#log.append({
      kind: RecordKind.VALUE,
      key,
      payload,
      writtenSeconds: this.#state.nowSeconds(),
    });
  }

  #removal(key: RecordKey): NewRecord {
    const own = newRecordKey();
    own.set(key);
    return { kind: RecordKind.REMOVAL, key: own, payload: NO_BYTES, writtenSeconds: this.#state.nowSeconds() };
  }

  #logRemoval(key: RecordKey): void {
    this.#log.append(this.#removal(key)).catch(() => {});
  }
}
