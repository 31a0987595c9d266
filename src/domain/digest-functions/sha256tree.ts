import { createHash } from 'node:crypto';
import { sha256BlockCipher } from '../../lib/sha256-block-cipher.ts';
import type { DigestFunction, Hasher } from './digest-function.ts';

/** Bytes of a leaf. Up to this size a blob has the hash that SHA-256 gives it. */
const LEAF_BYTES = 1_024;
const HASH_WORDS = 8;
/** More levels than a blob of 2^53 bytes has. */
const MAX_LEVELS = 44;

/** Leading fractional bits of the square roots of the 9th to the 16th prime: no tree is taken for a small blob. */
const INITIAL_STATE = Uint32Array.of(
  0xcbbb9d5d,
  0x629a292a,
  0x9159015a,
  0x152fecd8,
  0x67332667,
  0x8eb44a87,
  0xdb0c2e0d,
  0x47b5481d,
);

/** SHA256TREE: SHA-256 of leaves of 1 KiB, and a binary tree over them whose left sides are powers of two. */
export const SHA256TREE: DigestFunction = {
  name: 'SHA256TREE',
  wireValue: 8,
  hashLength: 64,
  resourceNameSegment: 'sha256tree',
  emptyHash: createHash('sha256').digest('hex'),
  createHasher: () => new TreeHasher(),
  hash(data) {
    const hasher = new TreeHasher();
    hasher.update(data);
    return hasher.digest();
  },
};

/** Keeps one hash a level, of a whole subtree that still lacks its right neighbour. */
class TreeHasher implements Hasher {
  readonly #stack = new Uint32Array(HASH_WORDS * (MAX_LEVELS + 2));
  readonly #leaf = Buffer.allocUnsafe(LEAF_BYTES);
  #leafBytes = 0;
  #leaves = 0;
  #depth = 0;

  update(data: Uint8Array): void {
    let at = 0;
    while (at < data.byteLength) {
      if (this.#leafBytes === 0 && data.byteLength - at >= LEAF_BYTES) {
        this.#addLeaf(data.subarray(at, at + LEAF_BYTES));
        at += LEAF_BYTES;
        continue;
      }
      const part = data.subarray(at, at + LEAF_BYTES - this.#leafBytes);
      this.#leaf.set(part, this.#leafBytes);
      this.#leafBytes += part.byteLength;
      at += part.byteLength;
      if (this.#leafBytes === LEAF_BYTES) {
        this.#addLeaf(this.#leaf);
        this.#leafBytes = 0;
      }
    }
  }

  digest(): string {
    if (this.#leafBytes > 0 || this.#leaves === 0) this.#push(this.#leaf.subarray(0, this.#leafBytes));
    while (this.#depth > 1) this.#join();
    const hash = Buffer.alloc(HASH_WORDS * 4);
    for (let i = 0; i < HASH_WORDS; i++) hash.writeUInt32BE(this.#stack[i] as number, i * 4);
    return hash.toString('hex');
  }

  /** A whole leaf: completes as many subtrees as its number has factors of two. */
  #addLeaf(leaf: Uint8Array): void {
    this.#push(leaf);
    this.#leaves += 1;
    for (let left = this.#leaves; left % 2 === 0; left /= 2) this.#join();
  }

  #push(leaf: Uint8Array): void {
    const hash = createHash('sha256').update(leaf).digest();
    const at = this.#depth * HASH_WORDS;
    for (let i = 0; i < HASH_WORDS; i++) this.#stack[at + i] = hash.readUInt32BE(i * 4);
    this.#depth += 1;
  }

  /** Puts the hash of the two topmost subtrees in their place. */
  #join(): void {
    const at = (this.#depth - 2) * HASH_WORDS;
    sha256BlockCipher(INITIAL_STATE, this.#stack.subarray(at, at + 2 * HASH_WORDS), this.#stack, at);
    this.#depth -= 1;
  }
}
