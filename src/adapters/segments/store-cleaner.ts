import { rm } from 'node:fs/promises';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import { errorCode, isDiskFull, isNotFound } from '../../lib/file-system-error.ts';
import { RecordKind, recordBytes, SEGMENT_HEADER_BYTES } from './record-format.ts';
import { NO_SEGMENT } from './record-index.ts';
import { newRecordKey, type RecordKey } from './record-key.ts';
import type { Segment } from './segment.ts';
import type { SegmentLog } from './segment-log.ts';
import { type ScannedRecord, scanSegment } from './segment-scan.ts';
import type { StoreLevel, StoreState } from './store-state.ts';

/** A segment is compacted before anything is evicted when so much of it is unused: it costs little to get it back. */
const CHEAP_DEAD_PART = 0.4;
const FAIR_DEAD_PART = 0.15;
/** And when nothing else is left to do, if so much of it is unused. */
const WORTHWHILE_DEAD_PART = 0.05;
/** Entries looked at before others get their turn. */
const BATCH = 512;
/** Bytes of moved records that wait for the log. */
const MOVE_BYTES = 4 * 1024 * 1024;

const NO_BYTES = new Uint8Array(0);
/** Failures that say nothing about the segment. */
const PASSING: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);

/** Whether a segment could be read, is not there, or is there and the disk does not give it back. */
type ScanOutcome = 'read' | 'gone' | 'unreadable';

/** Is told of a record that was evicted: its bytes on the disk, and when it was last used, in seconds. */
export type Evicted = (bytes: number, lastUseSeconds: number) => void;

/** What cleaning needs of the store beside its state. */
export interface CleanerHost {
  readonly log: SegmentLog;
  /** Whether a checkpoint on the disk knows all of this segment. */
  isCovered(segment: Segment): boolean;
  checkpoint(): Promise<void>;
  /** Some room may have been made. */
  progressed(): void;
}

/**
 * Brings the store down to its low watermark: evicts what was used least recently, and gives the room of unused records
 * in segments back by moving what is left of them.
 *
 * Works in short batches between which everything else goes on. Reads are never stopped: a record that is moved is read
 * in its old place until the index points to the new one, and a segment's file is removed only after that.
 */
export class StoreCleaner {
  readonly #state: StoreState;
  readonly #host: CleanerHost;
  /** Segments that the disk does not give back. What is left in them can be evicted; until it is, their room is lost. */
  readonly #unreadable = new Set<Segment>();

  constructor(state: StoreState, host: CleanerHost) {
    this.#state = state;
    this.#host = host;
  }

  /** Whether enough is used, or lies unused in segments, for cleaning to begin. */
  get isNeeded(): boolean {
    const { options, segments, high } = this.#state;
    if (this.#state.isAbove(high)) return true;
    const dead = segments.totalBytes - segments.liveBytes;
    return dead > options.segmentBytes * 4 && dead > segments.totalBytes / 2;
  }

  /**
   * Cleans until there is no more than `target`, or nothing more can be done.
   *
   * @param evicted hears of every record that is evicted.
   */
  async clean(target: StoreLevel, signal: AbortSignal, evicted?: Evicted): Promise<void> {
    const state = this.#state;
    let evictable = true;
    while (!signal.aborted) {
      this.#host.progressed();
      const excess = state.usedBytes - target.bytes;
      // Once twice what is wanted lies unused, it is got back even at a higher price, rather than evict more.
      const dead = state.segments.totalBytes - state.segments.liveBytes;
      const plenty = dead > 2 * excess && state.index.count <= target.count;
      const cheap = this.#victim(plenty ? FAIR_DEAD_PART : CHEAP_DEAD_PART);
      if (!state.isAbove(target) && !this.isNeeded) return;
      if (cheap !== undefined) {
        if (!(await this.#compact(cheap, signal))) return;
        continue;
      }
      if (!state.isAbove(target)) return;
      if (evictable) {
        evictable = await this.#evict(excess, state.index.count - target.count, evicted);
        if (evictable) continue;
      }
      if (excess <= 0) return;
      const any = this.#victim(WORTHWHILE_DEAD_PART);
      if (any === undefined || !(await this.#compact(any, signal))) return;
    }
  }

  /** Compacts every segment of which it is worth it. */
  async compact(signal: AbortSignal): Promise<void> {
    for (;;) {
      const victim = this.#victim(FAIR_DEAD_PART);
      if (victim === undefined || signal.aborted || !(await this.#compact(victim, signal))) return;
    }
  }

  /** The segment of which the greatest part is unused, if that is at least `part`. */
  #victim(part: number): Segment | undefined {
    let best: Segment | undefined;
    let bestPart = part;
    for (const segment of this.#state.segments.values()) {
      if (this.#unreadable.has(segment) && segment.liveBytes > 0) continue;
      const dead = 1 - segment.liveBytes / segment.committedBytes;
      const worth = segment.sealed || segment.committedBytes > this.#state.options.segmentBytes / 4;
      if (worth && dead >= bestPart) {
        best = segment;
        bestPart = dead;
      }
    }
    return best;
  }

  /** Evicts one batch, of about so many bytes and so many records. @returns whether anything could be evicted. */
  async #evict(bytes: number, count: number, heard?: Evicted): Promise<boolean> {
    const { index, dependencies } = this.#state;
    const isTooYoung = this.#state.youth();
    const files: RecordKey[] = [];
    let freed = 0;
    let evicted = 0;
    let looked = 0;
    for (let id = index.oldest(); id >= 0 && (freed < bytes || evicted < count) && evicted < BATCH; ) {
      const lastUse = index.lastUseOf(id);
      if (isTooYoung(lastUse)) break;
      const next = index.newerThan(id);
      const key = index.readKey(id, newRecordKey());
      if (dependencies.isPinned?.(key) !== true) {
        const external = index.segmentOf(id) === NO_SEGMENT;
        const own = this.#state.forget(id);
        freed += own;
        evicted += 1;
        heard?.(own, lastUse);
        if (external) files.push(key);
        else this.#logRemoval(key);
      }
      id = next;
      looked += 1;
      if (looked % BATCH === 0 && id >= 0) {
        await yieldToOthers();
        if (!index.isUsed(id)) break;
      }
    }
    for (const key of files) await dependencies.external?.remove(key);
    if (evicted > 0) dependencies.onEvicted?.(evicted, freed);
    await yieldToOthers();
    return evicted > 0;
  }

  /** So that the record does not come back with the next start. It may fail on a full disk: then it comes back. */
  #logRemoval(key: RecordKey): void {
    this.#host.log
      .append({ kind: RecordKind.REMOVAL, key, payload: NO_BYTES, writtenSeconds: this.#state.nowSeconds() })
      .catch(() => {});
  }

  /**
   * Makes room on a disk that is full below the configured size, where nothing can be written, so that neither can a
   * segment be compacted: what may be evicted of the oldest segments goes with them, whenever it was used last.
   */
  async relieve(target: StoreLevel, signal: AbortSignal): Promise<void> {
    await this.clean(target, signal);
    for (const segment of this.#state.segments.values()) {
      if (!this.#state.isAbove(target) || signal.aborted) return;
      await this.#evictFrom(segment);
      await this.#compact(segment, signal);
    }
  }

  /** Moves what is left of a segment and removes its file. @returns whether that went well. */
  async #compact(segment: Segment, signal: AbortSignal): Promise<boolean> {
    const state = this.#state;
    const { log } = this.#host;
    try {
      if (!segment.sealed) await log.seal();
      // Removals in the segment are not moved. So nothing that they removed may be found by the next start: it reads
      // only what no checkpoint covers. Before the oldest segment there is nothing that they could have removed.
      if (!this.#host.isCovered(segment) && !this.#isOldest(segment)) await this.#host.checkpoint();
      const outcome = segment.liveBytes > 0 ? await this.#move(segment, signal) : 'read';
      if (signal.aborted) return false;
      // There may be others to compact, and there is always something to evict.
      if (outcome === 'unreadable') return true;
      if (segment.liveBytes > 0) await this.#giveUp(segment);
      await log.sync();
    } catch (cause) {
      const { logger } = state.dependencies;
      if (signal.aborted) return false;
      if (isDiskFull(cause) || isExhausted(cause)) {
        logger.warn({ path: segment.path }, 'the disk is full: a segment was not compacted');
      } else {
        logger.error({ err: cause, path: segment.path }, 'failed to compact a segment');
      }
      return false;
    }
    this.#unreadable.delete(segment);
    state.segments.remove(segment);
    state.files.forget(segment.path);
    await rm(segment.path, { force: true });
    return true;
  }

  #isOldest(segment: Segment): boolean {
    const [oldest] = this.#state.segments.values();
    return oldest === segment;
  }

  /** Evicts all of a segment that may be evicted. */
  async #evictFrom(segment: Segment): Promise<void> {
    const { index, dependencies } = this.#state;
    const isTooYoung = this.#state.youth();
    await this.#scan(segment, (record) => {
      const id = index.find(record.header.key);
      if (id < 0 || index.segmentOf(id) !== segment.number || index.offsetOf(id) !== record.place) return;
      if (isTooYoung(index.lastUseOf(id)) || dependencies.isPinned?.(record.header.key) === true) return;
      const bytes = this.#state.forget(id);
      dependencies.onEvicted?.(1, bytes);
    });
  }

  async #move(segment: Segment, signal: AbortSignal): Promise<ScanOutcome> {
    const { index } = this.#state;
    let waiting = 0;
    let last: Promise<void> | undefined;
    let failure: unknown;
    const outcome = await this.#scan(segment, async (record) => {
      const { header, place, payload } = record;
      signal.throwIfAborted();
      if (header.kind !== RecordKind.VALUE || payload === undefined) return;
      const id = index.find(header.key);
      if (id < 0 || index.segmentOf(id) !== segment.number || index.offsetOf(id) !== place) return;
      const written = this.#host.log.append({
        kind: RecordKind.VALUE,
        key: header.key,
        payload: Buffer.from(payload),
        writtenSeconds: index.lastUseOf(id),
        movedFrom: { segment: segment.number, place },
      });
      written.catch((cause: unknown) => {
        failure ??= cause;
      });
      last = written;
      waiting += recordBytes(payload.byteLength);
      if (waiting >= MOVE_BYTES) {
        waiting = 0;
        await written;
        await yieldToOthers();
      }
    });
    await last;
    if (failure !== undefined) throw failure;
    return outcome;
  }

  /** Reads the records of a segment, as far as the disk gives them back. @throws what `take` throws. */
  async #scan(segment: Segment, take: (record: ScannedRecord) => void | Promise<void>): Promise<ScanOutcome> {
    const { certify, logger } = this.#state.dependencies;
    let failure: { readonly reason: unknown } | undefined;
    try {
      await scanSegment(segment, SEGMENT_HEADER_BYTES, segment.committedBytes, certify, async (record) => {
        try {
          await take(record);
        } catch (reason) {
          failure = { reason };
          throw reason;
        }
      });
      return 'read';
    } catch (cause) {
      if (failure !== undefined || PASSING.has(errorCode(cause) ?? '')) throw cause;
      if (isNotFound(cause)) return 'gone';
      logger.error({ err: cause, path: segment.path }, 'a segment cannot be read; what is in it is left to be evicted');
      this.#unreadable.add(segment);
      return 'unreadable';
    }
  }

  /** Drops what the index says lies in a segment and could not be found there: it is damaged. */
  async #giveUp(segment: Segment): Promise<void> {
    const { index, dependencies } = this.#state;
    let lost = 0;
    for (let id = 0; id < index.slots; id++) {
      if (index.isUsed(id) && index.segmentOf(id) === segment.number) {
        this.#state.forget(id);
        lost += 1;
      }
      if (id % 65_536 === 65_535) await yieldToOthers();
    }
    dependencies.logger.warn({ path: segment.path, lost }, 'records of a segment are damaged; their blobs are missing');
  }
}

function isExhausted(cause: unknown): boolean {
  return cause instanceof StatusError && cause.code === StatusCode.RESOURCE_EXHAUSTED;
}

function yieldToOthers(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
