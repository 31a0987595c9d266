import { ftruncate } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { StatusCode } from '../../domain/status-code.ts';
import { resourceExhausted, StatusError } from '../../domain/status-error.ts';
import { Deferred } from '../../lib/deferred.ts';
import { syncData, syncDirectory, writeAt } from '../../lib/file-io.ts';
import { isDiskFull } from '../../lib/file-system-error.ts';
import {
  encodeRecord,
  encodeSegmentHeader,
  PLACE_UNIT,
  type RecordKind,
  recordBytes,
  SEGMENT_HEADER_BYTES,
} from './record-format.ts';
import type { RecordKey } from './record-key.ts';
import { type Segment, type SegmentTable, segmentPath } from './segment.ts';

/** A record on its way into a segment. */
export interface NewRecord {
  readonly kind: RecordKind;
  /** Must not be changed before the record is written; so with the payload. */
  readonly key: RecordKey;
  readonly payload: Uint8Array;
  readonly writtenSeconds: number;
  /** Where compaction takes the record from; undefined for one that is new. */
  readonly movedFrom?: { readonly segment: number; readonly place: number };
}

/** Who keeps the index over the log. */
export interface LogOwner {
  /** Asked before a record that compaction moves is written: whether it is still in use. */
  isWanted(record: NewRecord): boolean;
  /** The record is written, and durable as configured. Called in the order of the log. */
  committed(record: NewRecord, segment: number, place: number): void;
  /** The record was not written, since its group failed. */
  dropped(record: NewRecord, cause: unknown): void;
}

export interface SegmentLogOptions {
  readonly directory: string;
  /** A segment that has reached this size is sealed. */
  readonly segmentBytes: number;
  /** Whether a record is on the disk, and not only with the kernel, before it counts as written. */
  readonly sync: boolean;
}

const STAGING_BYTES = 1024 * 1024;

interface Placed {
  readonly record: NewRecord;
  readonly segment: Segment;
  readonly place: number;
}

/**
 * Appends records to segment files with group commit: whatever arrives while one group is written makes up the next,
 * so that a hundred writers share one write and one fdatasync.
 *
 * What was acknowledged stays before what came later: the last record of a key is the true one. In a group the records
 * that compaction moves come first, since those that callers bring are newer.
 */
export class SegmentLog {
  readonly #options: SegmentLogOptions;
  readonly #segments: SegmentTable;
  readonly #owner: LogOwner;
  readonly #staging = Buffer.allocUnsafeSlow(STAGING_BYTES);
  #moved: NewRecord[] = [];
  #fresh: NewRecord[] = [];
  #group: Deferred<void> | undefined;
  #running: Promise<void> | undefined;
  #active: Segment | undefined;
  #handle: FileHandle | undefined;
  #nextNumber: number;
  /** How many records of the group being written are committed. */
  #written = 0;
  /** Whether the active segment holds bytes that no sync has covered. */
  #dirty = false;

  /**
   * @param active a segment to go on with, if any.
   * @param nextNumber the number of the next new segment: greater than any before.
   */
  constructor(
    options: SegmentLogOptions,
    segments: SegmentTable,
    owner: LogOwner,
    active: Segment | undefined,
    nextNumber: number,
  ) {
    this.#options = options;
    this.#segments = segments;
    this.#owner = owner;
    this.#active = active;
    this.#nextNumber = nextNumber;
  }

  /** Whether records wait or are being written. */
  get busy(): boolean {
    return this.#running !== undefined;
  }

  /**
   * Adds a record to the next group.
   *
   * @returns the outcome of the whole group. @throws RESOURCE_EXHAUSTED when the disk is full; INTERNAL.
   */
  append(record: NewRecord): Promise<void> {
    if (record.movedFrom === undefined) this.#fresh.push(record);
    else this.#moved.push(record);
    this.#group ??= new Deferred();
    if (this.#running === undefined) this.#running = this.#run();
    return this.#group.promise;
  }

  /** Seals the segment that is being written, so that compaction may take it. */
  async seal(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    const sealing = this.#sealActive();
    this.#running = sealing;
    try {
      await sealing;
    } finally {
      this.#running = undefined;
      if (this.#group !== undefined) this.#running = this.#run();
    }
  }

  /** Waits until what was written is on the disk, whatever is configured. */
  async sync(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    if (this.#dirty && this.#handle !== undefined) {
      const { fd } = this.#handle;
      this.#dirty = false;
      try {
        await syncData(fd);
      } catch (cause) {
        this.#dirty = true;
        throw cause;
      }
    }
  }

  /** Writes what waits and closes the file. Nothing may be appended any more. */
  async close(): Promise<void> {
    while (this.#running !== undefined) await this.#running;
    await this.sync();
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #run(): Promise<void> {
    // The rest of the calls that arrived together get into the first group.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#group !== undefined) {
      const group = this.#group;
      const records = [...this.#moved, ...this.#fresh];
      this.#group = undefined;
      this.#moved = [];
      this.#fresh = [];
      this.#written = 0;
      try {
        await this.#write(records);
        group.resolve();
      } catch (cause) {
        // Groups of which nobody awaits the outcome, such as removals by eviction, may fail too.
        group.promise.catch(() => {});
        for (const record of records.slice(this.#written)) this.#owner.dropped(record, cause);
        group.reject(toStatusError(cause));
      }
    }
    this.#running = undefined;
  }

  async #write(records: readonly NewRecord[]): Promise<void> {
    let placed: Placed[] = [];
    let index = 0;
    while (index < records.length) {
      let staged = 0;
      const { segment, fd } = await this.#writable();
      const start = segment.committedBytes;
      let end = start;
      try {
        for (; index < records.length && end < this.#options.segmentBytes; index++) {
          const record = records[index] as NewRecord;
          if (record.movedFrom !== undefined && !this.#owner.isWanted(record)) continue;
          const bytes = recordBytes(record.payload.byteLength);
          if (staged > 0 && staged + bytes > STAGING_BYTES) {
            await writeAt(fd, this.#staging.subarray(0, staged), end - staged);
            staged = 0;
          }
          const place = end / PLACE_UNIT;
          const large = bytes > STAGING_BYTES;
          const into = large ? Buffer.allocUnsafe(bytes) : this.#staging;
          encodeRecord(
            into,
            large ? 0 : staged,
            segment.number,
            place,
            record.kind,
            record.key,
            record.payload,
            record.writtenSeconds,
          );
          if (large) await writeAt(fd, into, end);
          else staged += bytes;
          end += bytes;
          placed.push({ record, segment, place });
        }
        if (staged > 0) await writeAt(fd, this.#staging.subarray(0, staged), end - staged);
        this.#dirty ||= end > start;
        if (this.#options.sync && this.#dirty) {
          await syncData(fd);
          this.#dirty = false;
        }
      } catch (cause) {
        await this.#retreat(segment, fd, start);
        throw cause;
      }
      this.#segments.extend(segment, end);
      for (const each of placed) this.#owner.committed(each.record, segment.number, each.place);
      placed = [];
      this.#written = index;
    }
  }

  /** The segment to write to, a new one where the last is full. */
  async #writable(): Promise<{ segment: Segment; fd: number }> {
    if (this.#active !== undefined && this.#active.committedBytes >= this.#options.segmentBytes) {
      await this.#sealActive();
    }
    if (this.#active === undefined) {
      const number = this.#nextNumber;
      const path = segmentPath(this.#options.directory, number);
      const handle = await open(path, 'wx');
      try {
        await writeAt(handle.fd, encodeSegmentHeader(number), 0);
        if (this.#options.sync) await syncDirectory(this.#options.directory);
      } catch (cause) {
        await handle.close();
        await rm(path, { force: true });
        throw cause;
      } finally {
        this.#nextNumber += 1;
      }
      this.#handle = handle;
      this.#dirty = true;
      this.#active = { number, path, committedBytes: SEGMENT_HEADER_BYTES, liveBytes: 0, sealed: false };
      this.#segments.add(this.#active);
    }
    this.#handle ??= await open(this.#active.path, 'r+');
    return { segment: this.#active, fd: this.#handle.fd };
  }

  async #sealActive(): Promise<void> {
    const segment = this.#active;
    if (segment === undefined) return;
    const handle = this.#handle;
    this.#active = undefined;
    this.#handle = undefined;
    this.#dirty = false;
    segment.sealed = true;
    // A checkpoint is going to say that this segment needs no second look; so it has to be on the disk.
    if (handle === undefined) return;
    try {
      await syncData(handle.fd);
    } finally {
      await handle.close();
    }
  }

  /** Takes back what a failed group has written; where not even that works, the segment is written no further. */
  async #retreat(segment: Segment, fd: number, length: number): Promise<void> {
    const truncated = await new Promise<boolean>((resolve) => {
      ftruncate(fd, length, (cause) => resolve(cause === null));
    });
    if (truncated) return;
    segment.sealed = true;
    if (this.#active === segment) {
      this.#active = undefined;
      await this.#handle?.close().catch(() => {});
      this.#handle = undefined;
    }
  }
}

/** What a failure of the disk means to the caller. */
export function toStatusError(cause: unknown): StatusError {
  if (cause instanceof StatusError) return cause;
  if (isDiskFull(cause)) return resourceExhausted('the disk is full: nothing can be stored until room is made', 5000);
  return new StatusError(StatusCode.INTERNAL, 'the disk failed; the log of the server has the details', { cause });
}
