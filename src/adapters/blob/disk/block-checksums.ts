import { crc32 } from 'node:zlib';

/*
 * What follows the bytes of a blob in its file, little-endian:
 *
 *   CRC-32 of each block of 128 KiB   u32 each
 *   magic "WBLB"                      u32
 *   CRC-32 of all of the checksums    u32
 */
const MAGIC = 0x42_4c_42_57;
const FOOTER_BYTES = 8;

/** Bytes that one checksum covers: what a read of a few bytes has to check along. */
export const BLOCK_BYTES = 128 * 1024;

/** Bytes that follow a blob of this size in its file. */
export function trailerBytes(sizeBytes: number): number {
  return Math.ceil(sizeBytes / BLOCK_BYTES) * 4 + FOOTER_BYTES;
}

/** Makes the trailer of a blob whose bytes come in order. */
export class BlockChecksums {
  readonly #checksums: Uint32Array;
  #position = 0;
  #current = 0;

  constructor(sizeBytes: number) {
    this.#checksums = new Uint32Array(Math.ceil(sizeBytes / BLOCK_BYTES));
  }

  update(chunk: Uint8Array): void {
    let offset = 0;
    while (offset < chunk.byteLength) {
      const room = BLOCK_BYTES - (this.#position % BLOCK_BYTES);
      const part = chunk.subarray(offset, offset + room);
      this.#current = crc32(part, this.#current);
      this.#checksums[Math.floor(this.#position / BLOCK_BYTES)] = this.#current;
      this.#position += part.byteLength;
      offset += part.byteLength;
      if (this.#position % BLOCK_BYTES === 0) this.#current = 0;
    }
  }

  trailer(): Buffer {
    const trailer = Buffer.alloc(this.#checksums.length * 4 + FOOTER_BYTES);
    for (const [i, checksum] of this.#checksums.entries()) trailer.writeUInt32LE(checksum, i * 4);
    const end = trailer.byteLength - FOOTER_BYTES;
    trailer.writeUInt32LE(MAGIC, end);
    trailer.writeUInt32LE(crc32(trailer.subarray(0, end)), end + 4);
    return trailer;
  }
}

/** Whether a trailer is whole. */
export function isTrailer(trailer: Buffer): boolean {
  const end = trailer.byteLength - FOOTER_BYTES;
  return (
    end >= 0 && trailer.readUInt32LE(end) === MAGIC && trailer.readUInt32LE(end + 4) === crc32(trailer.subarray(0, end))
  );
}

/** Whether bytes that begin with block `firstBlock` are what the trailer says. The last block may be short. */
export function areBlocksIntact(trailer: Buffer, firstBlock: number, bytes: Uint8Array): boolean {
  for (let offset = 0, block = firstBlock; offset < bytes.byteLength; offset += BLOCK_BYTES, block++) {
    if (crc32(bytes.subarray(offset, offset + BLOCK_BYTES)) !== trailer.readUInt32LE(block * 4)) return false;
  }
  return true;
}
