import { createHash } from 'node:crypto';

/** So many times a byte is hashed for its place in the table: the published vectors demand it. */
const INPUT_BYTES = 64;

/** How many of the last bytes have a say in a gear hash of 64 bits: each shift drops one. */
export const GEAR_WINDOW_BYTES = 64;

/** What each byte adds to a gear hash: 64 bits, in two halves, since JavaScript counts no further at speed. */
export interface GearTable {
  readonly low: Int32Array;
  readonly high: Int32Array;
}

/** @param seed mixed into the low half of each; 0 for the table as REAPI has it. */
export function createGearTable(seed: number): GearTable {
  const [low, high] = [new Int32Array(256), new Int32Array(256)];
  for (let byte = 0; byte < 256; byte++) {
    const hash = createHash('md5').update(new Uint8Array(INPUT_BYTES).fill(byte)).digest();
    high[byte] = hash.readInt32BE(0);
    low[byte] = hash.readInt32BE(4) ^ seed;
  }
  return { low, high };
}
