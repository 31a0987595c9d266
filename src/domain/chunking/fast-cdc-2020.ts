import type { ChunkCutter, Chunker } from './chunker.ts';
import { createGearTable } from './gear-table.ts';

/** Parameters of FastCDC 2020, as Capabilities tells them. */
export interface FastCdc2020Parameters {
  /** The average size that chunks tend to, in bytes: a power of two of 1 KiB to 1 MiB. */
  readonly averageBytes: number;
  /** Mixed into the hash of each byte; clients that share chunks share it. */
  readonly seed: number;
  /** Defaults to a quarter of the average, as REAPI has it. */
  readonly minimumBytes?: number;
  /** Defaults to four times the average, as REAPI has it. */
  readonly maximumBytes?: number;
}

/** REAPI prescribes level 2: by so many bits the masks differ from that of the average, to either side. */
const NORMALIZATION = 2;

/**
 * The masks of the paper's reference implementation by how many bits they have; a cut is where the hash has none of
 * them. The bits are spread, so that more bytes have a say.
 */
const MASKS: ReadonlyMap<number, bigint> = new Map([
  [8, 0x0000_0018_0003_5300n],
  [9, 0x0000_0190_0035_3000n],
  [10, 0x0000_5900_0353_0000n],
  [11, 0x0000_d900_0353_0000n],
  [12, 0x0000_d901_0353_0000n],
  [13, 0x0000_d903_0353_0000n],
  [14, 0x0000_d903_1353_0000n],
  [15, 0x0000_d90f_0353_0000n],
  [16, 0x0000_d903_0353_7000n],
  [17, 0x0000_d907_0353_7000n],
  [18, 0x0000_d907_0753_7000n],
  [19, 0x0000_d917_0753_7000n],
  [20, 0x0000_d917_4753_7000n],
  [21, 0x0000_d917_6753_7000n],
  [22, 0x0000_d937_6753_7000n],
]);

/** Cuts where the gear hash has none of the bits of a mask, and where it must for the greatest size. */
export class FastCdc2020 implements Chunker, ChunkCutter {
  readonly minimumBytes: number;
  /** No chunk is larger. */
  readonly maximumBytes: number;
  readonly #averageBytes: number;
  readonly #strict: Mask;
  readonly #lax: Mask;
  readonly #gearLow: Int32Array;
  readonly #gearHigh: Int32Array;

  constructor({ averageBytes, seed, minimumBytes, maximumBytes }: FastCdc2020Parameters) {
    const bits = Math.log2(averageBytes);
    this.#averageBytes = averageBytes;
    this.minimumBytes = minimumBytes ?? averageBytes / 4;
    this.maximumBytes = maximumBytes ?? averageBytes * 4;
    this.#strict = maskOf(bits + NORMALIZATION);
    this.#lax = maskOf(bits - NORMALIZATION);
    const { low, high } = createGearTable(seed);
    this.#gearLow = low;
    this.#gearHigh = high;
  }

  get windowBytes(): number {
    return this.maximumBytes;
  }

  get undividedBytes(): number {
    return this.maximumBytes;
  }

  /** Nothing is remembered between chunks: all blobs share one. */
  begin(): ChunkCutter {
    return this;
  }

  cut(data: Uint8Array): number {
    const end = Math.min(data.byteLength, this.maximumBytes);
    if (end <= this.minimumBytes) return end;
    // The reference takes two bytes at a time, which shows where a boundary is odd.
    const start = even(this.minimumBytes);
    const middle = even(Math.min(this.#averageBytes, end));
    const [gearLow, gearHigh] = [this.#gearLow, this.#gearHigh];
    let mask = this.#strict;
    let low = 0;
    let high = 0;
    for (let i = start; i < even(end); i++) {
      if (i === middle) mask = this.#lax;
      const byte = data[i] as number;
      const sum = ((low << 1) >>> 0) + ((gearLow[byte] as number) >>> 0);
      high = ((high << 1) | (low >>> 31)) + (gearHigh[byte] as number) + (sum > 0xffff_ffff ? 1 : 0);
      high |= 0;
      low = sum | 0;
      if ((low & mask.low) === 0 && (high & mask.high) === 0) return i;
    }
    return end;
  }
}

interface Mask {
  readonly low: number;
  readonly high: number;
}

function maskOf(bits: number): Mask {
  const mask = MASKS.get(bits);
  if (mask === undefined) throw new RangeError('the average size of chunks is a power of two of 1 KiB to 1 MiB');
  return { low: Number(BigInt.asIntN(32, mask)), high: Number(BigInt.asIntN(32, mask >> 32n)) };
}

function even(value: number): number {
  return value - (value % 2);
}
