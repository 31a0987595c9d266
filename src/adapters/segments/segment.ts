import { join } from 'node:path';

/** One segment file, and what of it is in use. */
export interface Segment {
  readonly number: number;
  readonly path: string;
  /** Bytes of the file whose records are in the index or removed from it; what follows is being written. */
  committedBytes: number;
  /** Bytes of records that the index points to. */
  liveBytes: number;
  /** Whether nothing is appended any more. */
  sealed: boolean;
}

const SUFFIX = '.segment';

export function segmentPath(directory: string, number: number): string {
  return join(directory, `${number.toString().padStart(10, '0')}${SUFFIX}`);
}

/** The number of the segment in a file of this name, or undefined. */
export function segmentNumber(fileName: string): number | undefined {
  if (!/^\d{10}\.segment$/.test(fileName)) return undefined;
  const number = Number(fileName.slice(0, -SUFFIX.length));
  return number > 0 && number < 2 ** 32 ? number : undefined;
}

/** The segments of a store, in the order in which they were written. */
export class SegmentTable {
  readonly #segments = new Map<number, Segment>();
  #totalBytes = 0;
  #liveBytes = 0;

  /** Bytes of all segment files. */
  get totalBytes(): number {
    return this.#totalBytes;
  }

  /** Bytes of all records that the index points to. */
  get liveBytes(): number {
    return this.#liveBytes;
  }

  get size(): number {
    return this.#segments.size;
  }

  get(number: number): Segment | undefined {
    return this.#segments.get(number);
  }

  values(): Iterable<Segment> {
    return this.#segments.values();
  }

  add(segment: Segment): void {
    this.#segments.set(segment.number, segment);
    this.#totalBytes += segment.committedBytes;
    this.#liveBytes += segment.liveBytes;
  }

  remove(segment: Segment): void {
    if (!this.#segments.delete(segment.number)) return;
    this.#totalBytes -= segment.committedBytes;
    this.#liveBytes -= segment.liveBytes;
  }

  /** The file has grown to so many bytes. */
  extend(segment: Segment, committedBytes: number): void {
    this.#totalBytes += committedBytes - segment.committedBytes;
    segment.committedBytes = committedBytes;
  }

  /** A record of so many bytes has become used, or unused where negative. */
  addLive(number: number, bytes: number): void {
    const segment = this.#segments.get(number);
    if (segment === undefined) return;
    segment.liveBytes += bytes;
    this.#liveBytes += bytes;
  }
}
