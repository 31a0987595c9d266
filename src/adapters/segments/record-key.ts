import { createHash } from 'node:crypto';

/**
 * The key of a record, ten 32-bit words: eight of hash, then a 53-bit size with an 8-bit tag above it.
 *
 * Fixed and binary, so that an index of a million keys is a few plain arrays and looking one up allocates nothing.
 * Of hashes longer than 256 bits what is beyond is folded in, which still cannot be made to collide and leaves no bit
 * without effect; shorter ones are filled with zeros.
 */
export type RecordKey = Uint32Array;

export const KEY_WORDS = 10;
const HASH_WORDS = 8;
const SIZE_LOW = 8;
const TAG_AND_SIZE_HIGH = 9;

const NIBBLES = new Uint8Array(128);
for (let i = 0; i < 16; i++) NIBBLES[i.toString(16).charCodeAt(0)] = i;

/**
 * Writes a key into `into`, which is then returned.
 *
 * @param hash lower-case hexadecimal, of a digest that was checked.
 * @param tag 0 to 255: tells apart keys that are alike otherwise, such as those of two digest functions.
 */
export function digestRecordKey(hash: string, sizeBytes: number, tag: number, into: RecordKey): RecordKey {
  const words = hash.length >> 3;
  for (let word = 0; word < words; word++) {
    const value = wordAt(hash, word << 3);
    if (word < HASH_WORDS) into[word] = value;
    else into[word % HASH_WORDS] = (into[word % HASH_WORDS] as number) ^ value;
  }
  for (let word = words; word < HASH_WORDS; word++) into[word] = 0;
  into[SIZE_LOW] = sizeBytes;
  into[TAG_AND_SIZE_HIGH] = (tag << 24) | Math.floor(sizeBytes / 2 ** 32);
  return into;
}

/** A key for text of any length. */
export function textRecordKey(text: string): RecordKey {
  return digestRecordKey(createHash('sha256').update(text).digest('hex'), 0, 0, newRecordKey());
}

export function newRecordKey(): RecordKey {
  return new Uint32Array(KEY_WORDS);
}

/** The size in a key. */
export function keySizeBytes(key: RecordKey): number {
  return ((key[TAG_AND_SIZE_HIGH] as number) & 0xff_ff_ff) * 2 ** 32 + (key[SIZE_LOW] as number);
}

export function keyTag(key: RecordKey): number {
  return (key[TAG_AND_SIZE_HIGH] as number) >>> 24;
}

/** The first `length` hexadecimal characters of a key's hash, which is the digest's own up to 256 bits. */
export function keyHash(key: RecordKey, length: number): string {
  let hash = '';
  for (let word = 0; word < HASH_WORDS; word++) hash += (key[word] as number).toString(16).padStart(8, '0');
  return hash.slice(0, length);
}

function wordAt(hash: string, i: number): number {
  return (
    (nibble(hash, i) << 28) |
    (nibble(hash, i + 1) << 24) |
    (nibble(hash, i + 2) << 20) |
    (nibble(hash, i + 3) << 16) |
    (nibble(hash, i + 4) << 12) |
    (nibble(hash, i + 5) << 8) |
    (nibble(hash, i + 6) << 4) |
    nibble(hash, i + 7)
  );
}

function nibble(hash: string, i: number): number {
  return NIBBLES[hash.charCodeAt(i) & 127] as number;
}
