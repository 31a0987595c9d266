import type { ChunkCutter, Chunker } from './chunker.ts';
import { createGearTable, GEAR_WINDOW_BYTES, type GearTable } from './gear-table.ts';

/** Parameters of RepMaxCDC, as Capabilities tells them. */
export interface RepMaxCdcParameters {
  /** No chunk is smaller, unless the blob is; all are smaller than twice this. At least 64 bytes. */
  readonly minimumBytes: number;
  /** How far beyond the smallest chunk it is looked for a good place to cut; 0 gives chunks of one size. */
  readonly horizonBytes: number;
}

/**
 * Cuts where the gear hash of the last 64 bytes is greatest within a window, and keeps every chunk below twice the
 * least: where the greatest lies too far ahead, it is the end of another chunk, and the search begins anew in what must
 * come before that one.
 */
export class RepMaxCdc implements Chunker {
  readonly windowBytes: number;
  readonly undividedBytes: number;
  readonly #minimumBytes: number;
  readonly #gear = createGearTable(0);

  /** @throws RangeError when a parameter is out of bounds. */
  constructor({ minimumBytes, horizonBytes }: RepMaxCdcParameters) {
    if (!Number.isInteger(minimumBytes) || minimumBytes < GEAR_WINDOW_BYTES) {
      throw new RangeError(`the least size of chunks is a whole number of at least ${GEAR_WINDOW_BYTES} bytes`);
    }
    if (!Number.isInteger(horizonBytes) || horizonBytes < 0) {
      throw new RangeError('the horizon is a whole number of bytes, 0 or more');
    }
    this.#minimumBytes = minimumBytes;
    this.windowBytes = 2 * minimumBytes + horizonBytes;
    this.undividedBytes = 2 * minimumBytes - 1;
  }

  begin(): ChunkCutter {
    return new RepMaxCutter(this.#minimumBytes, this.#gear);
  }
}

/** A place to cut whose hash is greater than that of every place before it. */
interface Peak {
  /** The length of the chunk that would end here. */
  at: number;
  readonly low: number;
  readonly high: number;
}

/**
 * A hash does not depend on where chunks begin, so that peaks found for one chunk are good for the next: only what lay in
 * the shadow of a peak that is behind by then has to be looked at once more.
 */
class RepMaxCutter implements ChunkCutter {
  readonly #minimumBytes: number;
  readonly #gear: GearTable;
  /** In order of place, and thereby of hash. */
  #peaks: Peak[] = [];
  /** Up to where peaks have been looked for; places count from the beginning of the next chunk. */
  #scanned = 0;

  constructor(minimumBytes: number, gear: GearTable) {
    this.#minimumBytes = minimumBytes;
    this.#gear = gear;
  }

  cut(data: Uint8Array): number {
    const minimum = this.#minimumBytes;
    // Too little for two chunks.
    if (data.byteLength < 2 * minimum) return data.byteLength;
    this.#look(data);
    const peaks = this.#peaks;
    let last = peaks.length - 1;
    let length = placeOf(peaks, last);
    while (length >= 2 * minimum) {
      const limit = length - minimum;
      while (placeOf(peaks, last) > limit) last -= 1;
      length = placeOf(peaks, last);
    }
    this.#advance(length);
    return length;
  }

  /** Brings the peaks up to date: from the smallest chunk to where what is left would be too little for another. */
  #look(data: Uint8Array): void {
    const begin = this.#minimumBytes;
    const end = data.byteLength - this.#minimumBytes;
    const kept = this.#peaks;
    const [next] = kept;
    if (next === undefined) {
      this.#scan(data, begin, end, true);
    } else {
      if (next.at > begin) {
        this.#peaks = [];
        this.#scan(data, begin, next.at - 1, true);
        this.#peaks.push(...kept);
      }
      this.#scan(data, this.#scanned, end, false);
    }
    this.#scanned = end;
  }

  /** Adds the peaks behind `from` up to `to`; with `first`, the place `from` itself before them. */
  #scan(data: Uint8Array, from: number, to: number, first: boolean): void {
    const { low: gearLow, high: gearHigh } = this.#gear;
    let low = 0;
    let high = 0;
    for (let i = from - GEAR_WINDOW_BYTES; i < from; i++) {
      const byte = data[i] as number;
      const sum = ((low << 1) >>> 0) + ((gearLow[byte] as number) >>> 0);
      high = (((high << 1) | (low >>> 31)) + (gearHigh[byte] as number) + (sum > 0xffff_ffff ? 1 : 0)) | 0;
      low = sum | 0;
    }
    if (first) this.#peaks.push({ at: from, low, high });
    const last = this.#peaks[this.#peaks.length - 1];
    // The greatest so far, halves without sign.
    let bestHigh = (last?.high ?? 0) >>> 0;
    let bestLow = (last?.low ?? 0) >>> 0;
    for (let i = from; i < to; i++) {
      const byte = data[i] as number;
      const sum = ((low << 1) >>> 0) + ((gearLow[byte] as number) >>> 0);
      high = (((high << 1) | (low >>> 31)) + (gearHigh[byte] as number) + (sum > 0xffff_ffff ? 1 : 0)) | 0;
      low = sum | 0;
      const unsigned = high >>> 0;
      if (unsigned > bestHigh || (unsigned === bestHigh && low >>> 0 > bestLow)) {
        bestHigh = unsigned;
        bestLow = low >>> 0;
        this.#peaks.push({ at: i + 1, low, high });
      }
    }
  }

  /** The next chunk begins `length` bytes later. */
  #advance(length: number): void {
    const begin = length + this.#minimumBytes;
    this.#peaks = this.#peaks.filter(({ at }) => at >= begin);
    for (const peak of this.#peaks) peak.at -= length;
    this.#scanned -= length;
  }
}

function placeOf(peaks: readonly Peak[], index: number): number {
  return (peaks[index] as Peak).at;
}
