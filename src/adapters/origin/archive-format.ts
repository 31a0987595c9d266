import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { StatusCode } from '../../domain/status-code.ts';
import { OriginError } from '../../ports/origin.ts';
import { aborted } from './archive-tree.ts';

/** Formats that are told by their first bytes and not unpacked here. */
const OTHER_FORMATS: ReadonlyArray<readonly [name: string, magic: readonly number[]]> = [
  ['zip', [0x50, 0x4b, 0x03, 0x04]],
  ['zip', [0x50, 0x4b, 0x05, 0x06]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['7z', [0x37, 0x7a, 0xbc, 0xaf, 0x27, 0x1c]],
];
const GZIP = [0x1f, 0x8b];

/**
 * The tar archive in what was downloaded, by its first bytes: neither names nor media types of the web can be relied on.
 *
 * @param first the first bytes, at least 8 where there are so many.
 * @throws OriginError UNIMPLEMENTED for another format; ABORTED, while it is read, for gzip that is damaged.
 */
export function tarOf(first: Uint8Array, content: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const [other] = OTHER_FORMATS.find(([, magic]) => startsWith(first, magic)) ?? [];
  if (other !== undefined) {
    const message = `the archive is ${other}, which is not unpacked here: tar and tar.gz are`;
    throw new OriginError(StatusCode.UNIMPLEMENTED, message);
  }
  if (first.byteLength === 0) throw aborted('there is nothing in it');
  return startsWith(first, GZIP) ? gunzip(content) : content;
}

async function* gunzip(content: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> {
  const unpacked = createGunzip();
  // Its failures come out of the last stream.
  pipeline(Readable.from(content, { objectMode: false }), unpacked, () => {});
  try {
    yield* unpacked as AsyncIterable<Buffer>;
  } catch (cause) {
    const { code = '', message } = cause as NodeJS.ErrnoException;
    throw code.startsWith('Z_') ? aborted(`its gzip is damaged: ${message}`) : cause;
  }
}

function startsWith(data: Uint8Array, magic: readonly number[]): boolean {
  return magic.every((byte, index) => data[index] === byte);
}
