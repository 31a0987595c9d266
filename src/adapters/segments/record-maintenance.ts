import { stat } from 'node:fs/promises';
import { isNotFound } from '../../lib/file-system-error.ts';
import type {
  CleaningReport,
  IndexDifference,
  RebuildReport,
  StoreMaintenance,
  StoreUsage,
} from '../../ports/store-maintenance.ts';
import { CleaningTally } from '../cleaning-tally.ts';
import type { Housekeeping } from './housekeeping.ts';
import { decodeValue, RECORD_HEADER_BYTES } from './record-format.ts';
import { NO_SEGMENT } from './record-index.ts';
import { newRecordKey, type RecordKey } from './record-key.ts';
import { readRecord } from './record-reading.ts';
import type { StoreState } from './store-state.ts';

/** Records that are looked at before others get their turn, in the order in which they lie on the disk. */
const BATCH = 4_096;
/** A record may move while it is looked at; more often in a row than this it does not. */
const ATTEMPTS = 4;

/** A difference, and what mends it. */
interface Finding extends IndexDifference {
  mend(): Promise<void>;
}

/** Looks after a record store while it serves. Every check of it reads every byte that is stored. */
export class RecordMaintenance implements StoreMaintenance {
  readonly #state: StoreState;
  readonly #housekeeping: Housekeeping;
  readonly #remove: (key: RecordKey) => Promise<void>;
  readonly #nameOf: (key: RecordKey) => string;

  /**
   * @param remove takes a record out for good.
   * @param nameOf says how people know a record.
   */
  constructor(
    state: StoreState,
    housekeeping: Housekeeping,
    remove: (key: RecordKey) => Promise<void>,
    nameOf: (key: RecordKey) => string,
  ) {
    this.#state = state;
    this.#housekeeping = housekeeping;
    this.#remove = remove;
    this.#nameOf = nameOf;
  }

  async usage(signal: AbortSignal): Promise<StoreUsage> {
    signal.throwIfAborted();
    const { index, usedBytes, options } = this.#state;
    return {
      entries: index.count,
      bytes: usedBytes,
      maximumBytes: options.maximumSizeBytes,
      maximumEntries: options.maximumCount,
    };
  }

  async clean(targetBytes: number | undefined, dryRun: boolean, signal: AbortSignal): Promise<CleaningReport> {
    const { low } = this.#state;
    const target = { bytes: Math.min(targetBytes ?? low.bytes, low.bytes), count: low.count };
    const tally = new CleaningTally();
    const add = (bytes: number, lastUseSeconds: number) => tally.add(bytes, lastUseSeconds * 1_000);
    if (dryRun) await this.#plan(target, add, signal);
    else await this.#housekeeping.clean(target, add, signal);
    signal.throwIfAborted();
    return tally.report;
  }

  async *check(signal: AbortSignal): AsyncGenerator<IndexDifference> {
    for await (const { what, entry } of this.#findings(signal)) yield { what, entry };
  }

  async rebuild(signal: AbortSignal): Promise<RebuildReport> {
    let added = 0;
    let removed = 0;
    for await (const finding of this.#findings(signal)) {
      await finding.mend();
      if (finding.what === 'unknown') added += 1;
      else removed += 1;
    }
    const { entries, bytes } = await this.usage(signal);
    return { entries, bytes, added, removed, listed: true };
  }

  async #plan(
    target: { readonly bytes: number; readonly count: number },
    add: (bytes: number, lastUseSeconds: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const { index, usedBytes, segments, dependencies } = this.#state;
    const dead = segments.totalBytes - segments.liveBytes;
    let bytes = usedBytes - dead - target.bytes;
    let count = index.count - target.count;
    const key = newRecordKey();
    const isTooYoung = this.#state.youth();
    let looked = 0;
    for (let id = index.oldest(); id >= 0 && (bytes > 0 || count > 0); id = index.newerThan(id)) {
      if (isTooYoung(index.lastUseOf(id))) return;
      if (dependencies.isPinned?.(index.readKey(id, key)) !== true) {
        const own = this.#state.bytesOf(id);
        add(own, index.lastUseOf(id));
        bytes -= own;
        count -= 1;
      }
      looked += 1;
      if (looked % BATCH > 0) continue;
      await yieldToOthers();
      signal.throwIfAborted();
      // The order has changed under us: what was told so far is as good as any answer about a store that goes on.
      if (!index.isUsed(id)) return;
    }
  }

  async *#findings(signal: AbortSignal): AsyncGenerator<Finding> {
    const { index, dependencies } = this.#state;
    await this.#forgetLostSegments();
    for (let from = 0; from < index.slots; from += BATCH) {
      const keys: RecordKey[] = [];
      for (const id of this.#inOrderOfPlace(from, Math.min(from + BATCH, index.slots))) {
        keys.push(index.readKey(id, newRecordKey()));
      }
      for (const key of keys) {
        signal.throwIfAborted();
        const what = await this.#verify(key, signal);
        if (what === 'whole') continue;
        yield { what, entry: this.#nameOf(key), mend: () => this.#remove(key) };
      }
      await yieldToOthers();
    }
    if (dependencies.external === undefined) return;
    const unknown: Array<{ readonly key: RecordKey; readonly lastUseSeconds: number }> = [];
    for await (const found of dependencies.external.list()) {
      signal.throwIfAborted();
      if (index.find(found.key) < 0) unknown.push(found);
    }
    // What was put in its place a moment ago is in the index by now.
    await yieldToOthers();
    for (const { key, lastUseSeconds } of unknown) {
      if (index.find(key) >= 0) continue;
      const mend = async () => void this.#state.addExternal(key, lastUseSeconds);
      yield { what: 'unknown', entry: this.#nameOf(key), mend };
    }
  }

  /** A file that is open can be read on after it was removed. */
  async #forgetLostSegments(): Promise<void> {
    const { files, segments } = this.#state;
    for (const { path } of segments.values()) {
      await stat(path).catch(() => files.forget(path));
    }
  }

  #inOrderOfPlace(from: number, to: number): number[] {
    const { index } = this.#state;
    const ids: number[] = [];
    for (let id = from; id < to; id++) if (index.isUsed(id)) ids.push(id);
    return ids.sort((a, b) => index.segmentOf(a) - index.segmentOf(b) || index.offsetOf(a) - index.offsetOf(b));
  }

  /** Reads a record, which is no use of it. One that was evicted meanwhile is as good as whole. */
  async #verify(key: RecordKey, signal: AbortSignal): Promise<'whole' | 'lost' | 'damaged'> {
    const { index, segments, files, dependencies } = this.#state;
    for (let attempt = 1; ; attempt++) {
      const id = index.find(key);
      if (id < 0) return 'whole';
      const number = index.segmentOf(id);
      if (number === NO_SEGMENT) {
        const found = (await dependencies.external?.verify(key, signal)) ?? 'whole';
        return index.find(key) < 0 ? 'whole' : found;
      }
      const place = index.offsetOf(id);
      const record = Buffer.allocUnsafe(RECORD_HEADER_BYTES + index.lengthOf(id));
      const segment = segments.get(number);
      const failure = segment === undefined ? undefined : await readRecord(files, segment, place, record);
      if (segment !== undefined && failure === undefined && decodeValue(record, number, place, key) !== undefined) {
        return 'whole';
      }
      const now = index.find(key);
      if (now < 0) return 'whole';
      const moved = index.segmentOf(now) !== number || index.offsetOf(now) !== place;
      if (!moved) return segment === undefined || isNotFound(failure) ? 'lost' : 'damaged';
      if (attempt === ATTEMPTS) return 'whole';
    }
  }
}

function yieldToOthers(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
