/** The round constants of FIPS 180-4: leading fractional bits of the cube roots of the first 64 primes. */
const ROUND_CONSTANTS = cubeRootFractions(64);
const ROUNDS = 64;
const schedule = new Int32Array(ROUNDS);

/**
 * The block cipher within SHA-256 (FIPS 180-4, 6.2.2, without the last addition), once over one block.
 *
 * Node offers whole hashes only, and trees of hashes need a first state of their own.
 *
 * @param state eight words, which stay as they are.
 * @param block sixteen words.
 * @param into where the eight words go that come out, from `at` on; may be the block's own memory.
 */
export function sha256BlockCipher(state: Uint32Array, block: Uint32Array, into: Uint32Array, at: number): void {
  for (let i = 0; i < 16; i++) schedule[i] = block[i] as number;
  for (let i = 16; i < ROUNDS; i++) {
    const early = schedule[i - 15] as number;
    const late = schedule[i - 2] as number;
    const s0 = rotate(early, 7) ^ rotate(early, 18) ^ (early >>> 3);
    const s1 = rotate(late, 17) ^ rotate(late, 19) ^ (late >>> 10);
    schedule[i] = (schedule[i - 16] as number) + s0 + (schedule[i - 7] as number) + s1;
  }
  let a = (state[0] as number) | 0;
  let b = (state[1] as number) | 0;
  let c = (state[2] as number) | 0;
  let d = (state[3] as number) | 0;
  let e = (state[4] as number) | 0;
  let f = (state[5] as number) | 0;
  let g = (state[6] as number) | 0;
  let h = (state[7] as number) | 0;
  for (let i = 0; i < ROUNDS; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25);
    const choice = (e & f) ^ (~e & g);
    const first = (h + s1 + choice + (ROUND_CONSTANTS[i] as number) + (schedule[i] as number)) | 0;
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + s0 + majority) | 0;
  }
  into[at] = a;
  into[at + 1] = b;
  into[at + 2] = c;
  into[at + 3] = d;
  into[at + 4] = e;
  into[at + 5] = f;
  into[at + 6] = g;
  into[at + 7] = h;
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits));
}

/** Floating point has too few bits: the cube root of p * 2^96 in whole numbers, of which the low 32 bits are wanted. */
function cubeRootFractions(count: number): Int32Array {
  const fractions = new Int32Array(count);
  for (let prime = 2, found = 0; found < count; prime++) {
    if (!isPrime(prime)) continue;
    const wanted = BigInt(prime) << 96n;
    let root = 0n;
    for (let bit = 1n << 35n; bit > 0n; bit >>= 1n) if ((root + bit) ** 3n <= wanted) root += bit;
    fractions[found] = Number(BigInt.asIntN(32, root));
    found += 1;
  }
  return fractions;
}

function isPrime(candidate: number): boolean {
  for (let divisor = 2; divisor * divisor <= candidate; divisor++) if (candidate % divisor === 0) return false;
  return true;
}
