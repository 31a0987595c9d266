import { mkdir, readdir, rm, stat, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import { type KnownBytes, readCheckpoint } from './checkpoint.ts';
import { PLACE_UNIT, RecordKind, recordBytes, SEGMENT_HEADER_BYTES } from './record-format.ts';
import { NO_SEGMENT, RecordIndex } from './record-index.ts';
import { KEY_WORDS, newRecordKey } from './record-key.ts';
import { type Segment, segmentNumber } from './segment.ts';
import { hasSegmentHeader, mendSegmentHeader, type ScannedRecord, scanSegment } from './segment-scan.ts';
import type { StoreState } from './store-state.ts';

const CLEAN_MARK = 'clean';

export function cleanMarkPath(directory: string): string {
  return join(directory, CLEAN_MARK);
}

/** What was found in the folder. */
export interface Recovered {
  /** What the last checkpoint covers; empty where there was none. */
  readonly known: KnownBytes;
  readonly nextNumber: number;
  /** The segment to go on with. */
  readonly active: Segment | undefined;
}

/**
 * Fills a state from what is on the disk: the last checkpoint, then what the log holds beyond it, then the files that
 * lie outside the log, unless the last stop was clean. Cuts off what a killed process left half written.
 */
export async function recoverStore(state: StoreState, signal: AbortSignal): Promise<Recovered> {
  const { directory, segmentBytes } = state.options;
  await mkdir(directory, { recursive: true });
  const wasClean = await rm(cleanMarkPath(directory)).then(
    () => true,
    () => false,
  );
  await findSegments(state);
  const checkpoint = await loadCheckpoint(state);
  const known = checkpoint ?? new Map<number, number>();
  for (const segment of state.segments.values()) {
    signal.throwIfAborted();
    await replay(state, segment, Math.max(known.get(segment.number) ?? 0, SEGMENT_HEADER_BYTES));
  }
  if (!wasClean || checkpoint === undefined) await reconcileExternal(state);
  state.index.sortByLastUse();
  const last = [...state.segments.values()].at(-1);
  const highest = Math.max(0, last?.number ?? 0, ...known.keys());
  // What is appended to a segment that has lost its end would lie where the checkpoint says that it knows all.
  const isWhole = last !== undefined && last.committedBytes >= (known.get(last.number) ?? 0);
  const active = isWhole && last.committedBytes < segmentBytes ? last : undefined;
  if (active !== undefined) active.sealed = false;
  return { known, nextNumber: highest + 1, active };
}

async function findSegments(state: StoreState): Promise<void> {
  const { directory } = state.options;
  const names = (await readdir(directory)).sort();
  for (const name of names) {
    const path = join(directory, name);
    const number = segmentNumber(name);
    if (number === undefined) {
      if (name.endsWith('.new')) await rm(path);
      continue;
    }
    if (!(await hasSegmentHeader(path, number))) {
      if (!(await mendSegmentHeader(path, number))) {
        state.dependencies.logger.warn({ path }, 'removed a segment without a valid header; its blobs are missing');
        await rm(path);
        continue;
      }
      state.dependencies.logger.warn({ path }, 'mended the damaged header of a segment');
    }
    const { size } = await stat(path);
    state.segments.add({ number, path, committedBytes: size, liveBytes: 0, sealed: true });
  }
}

/** Takes every row that still can be true: its segment is there and long enough. */
async function loadCheckpoint(state: StoreState): Promise<KnownBytes | undefined> {
  const { directory } = state.options;
  const external = state.dependencies.external;
  const known = await readCheckpoint(
    directory,
    () => {},
    (row) => {
      const [segment, place, length, lastUse] = row.subarray(KEY_WORDS) as unknown as [number, number, number, number];
      const key = row.subarray(0, KEY_WORDS);
      if (state.index.find(key) >= 0) return;
      if (segment === NO_SEGMENT) {
        if (external === undefined) return;
        state.externalBytes += external.bytesOf(key);
      } else {
        const bytes = recordBytes(length);
        const found = state.segments.get(segment);
        if (found === undefined || place * PLACE_UNIT + bytes > found.committedBytes) return;
        state.segments.addLive(segment, bytes);
      }
      state.index.insert(key, segment, place, length, lastUse);
    },
  );
  if (known !== undefined) return known;
  if (state.index.count > 0) {
    state.dependencies.logger.warn({ directory }, 'the checkpoint is damaged; reading every segment instead');
    state.index = new RecordIndex(state.dependencies.random() * 2 ** 32);
    state.externalBytes = 0;
    for (const segment of state.segments.values()) state.segments.addLive(segment.number, -segment.liveBytes);
  }
  return undefined;
}

/** Does again what the log says from byte `from` on. */
async function replay(state: StoreState, segment: Segment, from: number): Promise<void> {
  const { logger, certify } = state.dependencies;
  const size = segment.committedBytes;
  if (from >= size) return;
  const { end, damaged } = await scanSegment(segment, from, size, certify, (record) => apply(state, segment, record));
  if (damaged) logger.warn({ path: segment.path }, 'passed over damaged records of a segment; their blobs are missing');
  if (end < size) {
    logger.info({ path: segment.path, bytes: size - end }, 'cut off what was half written');
    await truncate(segment.path, end);
    state.segments.extend(segment, end);
  }
}

function apply(state: StoreState, segment: Segment, { header, place, payload }: ScannedRecord): void {
  const id = state.index.find(header.key);
  if (payload === undefined) return;
  const lastUse = id >= 0 ? Math.max(state.index.lastUseOf(id), header.writtenSeconds) : header.writtenSeconds;
  if (id >= 0) state.forget(id);
  if (header.kind === RecordKind.REMOVAL) return;
  state.index.insert(header.key, segment.number, place, header.payloadLength, lastUse);
  state.segments.addLive(segment.number, recordBytes(header.payloadLength));
}

async function removeStranger(state: StoreState, path: string): Promise<void> {
  state.dependencies.logger.warn({ path }, 'removed a file that is not a whole blob');
  await rm(path, { force: true, recursive: true });
}

/** Makes the index agree with the files that are there. */
async function reconcileExternal(state: StoreState): Promise<void> {
  const { external } = state.dependencies;
  if (external === undefined) return;
  const present = new Set<number>();
  for await (const { key, lastUseSeconds } of external.list((path) => removeStranger(state, path))) {
    let id = state.index.find(key);
    if (id >= 0 && state.index.segmentOf(id) !== NO_SEGMENT) continue;
    if (id < 0) id = state.addExternal(key, lastUseSeconds);
    present.add(id);
  }
  const key = newRecordKey();
  for (let id = 0; id < state.index.slots; id++) {
    if (!state.index.isUsed(id) || state.index.segmentOf(id) !== NO_SEGMENT || present.has(id)) continue;
    state.externalBytes -= external.bytesOf(state.index.readKey(id, key));
    state.index.remove(id);
  }
}
