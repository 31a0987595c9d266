import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { readAt, syncDirectory, writeAt } from '../../lib/file-io.ts';
import { isNotFound } from '../../lib/file-system-error.ts';
import { type RecordIndex, ROW_WORDS } from './record-index.ts';
import type { Segment } from './segment.ts';

/*
 * A checkpoint is what the index held at some moment, and up to where in each segment it knows. All numbers are 32-bit,
 * little-endian, as every machine is that Node runs on and that we support.
 *
 *   block:   count of words, CRC-32 of the words, words
 *   file:    one block: magic, version, then for each segment its number and its known bytes in units of 8
 *            blocks of rows of the index (ROW_WORDS words each)
 *            one block without words: the end, so that a file cut short is noticed
 *
 * It is written while the store goes on. Rows are copied in slices, each whole; whatever changes meanwhile is in the log
 * behind the known bytes, which were noted before the first row, and is done again when the store starts.
 */
const MAGIC = 0x54_4b_43_57;
const VERSION = 1;
const ROWS_PER_BLOCK = 4096;
const MAXIMUM_BLOCK_WORDS = 64 * 1024 * 1024;
const FILE_NAME = 'checkpoint';

/** What a checkpoint tells of the segments: number to known bytes. */
export type KnownBytes = ReadonlyMap<number, number>;

/** What a checkpoint may cover that begins now, once all of it is on the disk. */
export function knownBytes(segments: Iterable<Segment>): KnownBytes {
  return new Map([...segments].map((each) => [each.number, each.committedBytes]));
}

/** Writes a checkpoint in place of the last one. @param known what it covers; on the disk, and noted before the call. */
export async function writeCheckpoint(directory: string, index: RecordIndex, known: KnownBytes): Promise<void> {
  const temporary = join(directory, `${FILE_NAME}.new`);
  const handle = await open(temporary, 'w');
  try {
    const header = Uint32Array.from([MAGIC, VERSION, ...[...known].flatMap(([number, bytes]) => [number, bytes / 8])]);
    let position = await writeBlock(handle, header, 0);
    const rows = new Uint32Array(ROWS_PER_BLOCK * ROW_WORDS);
    for (let slot = 0; slot < index.slots; ) {
      const copied = index.copyRows(slot, rows);
      slot = copied.next;
      if (copied.rows > 0) position = await writeBlock(handle, rows.subarray(0, copied.rows * ROW_WORDS), position);
    }
    await writeBlock(handle, new Uint32Array(0), position);
    await handle.datasync();
  } catch (cause) {
    await handle.close();
    await rm(temporary, { force: true });
    throw cause;
  }
  await handle.close();
  await rename(temporary, join(directory, FILE_NAME));
  await syncDirectory(directory);
}

/**
 * Reads the last checkpoint.
 *
 * @param row is given every row, as `ROW_WORDS` words that it must not keep.
 * @returns what the checkpoint covers, or undefined where there is none or it is damaged: what `row` was given counts
 *   for nothing then.
 */
export async function readCheckpoint(
  directory: string,
  begin: (known: KnownBytes) => void,
  row: (words: Uint32Array) => void,
): Promise<KnownBytes | undefined> {
  let handle: FileHandle;
  try {
    handle = await open(join(directory, FILE_NAME), 'r');
  } catch (cause) {
    if (isNotFound(cause)) return undefined;
    throw cause;
  }
  try {
    const header = await readBlock(handle, 0);
    if (header === undefined || header[0] !== MAGIC || header[1] !== VERSION) return undefined;
    const known = new Map<number, number>();
    for (let i = 2; i + 1 < header.length; i += 2) known.set(header[i] as number, (header[i + 1] as number) * 8);
    begin(known);
    let position = blockBytes(header.length);
    for (;;) {
      const rows = await readBlock(handle, position);
      if (rows === undefined || rows.length % ROW_WORDS !== 0) return undefined;
      if (rows.length === 0) return known;
      for (let at = 0; at < rows.length; at += ROW_WORDS) row(rows.subarray(at, at + ROW_WORDS));
      position += blockBytes(rows.length);
    }
  } finally {
    await handle.close();
  }
}

function blockBytes(words: number): number {
  return 8 + words * 4;
}

async function writeBlock(handle: FileHandle, words: Uint32Array, position: number): Promise<number> {
  const block = Buffer.allocUnsafe(blockBytes(words.length));
  const bytes = new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  block.writeUInt32LE(words.length, 0);
  block.writeUInt32LE(crc32(bytes), 4);
  block.set(bytes, 8);
  await writeAt(handle.fd, block, position);
  return position + block.byteLength;
}

async function readBlock(handle: FileHandle, position: number): Promise<Uint32Array | undefined> {
  const head = new Uint32Array(2);
  if ((await readAt(handle.fd, new Uint8Array(head.buffer), position)) < 8) return undefined;
  const [length, checksum] = head as unknown as [number, number];
  if (length > MAXIMUM_BLOCK_WORDS) return undefined;
  const words = new Uint32Array(length);
  const bytes = new Uint8Array(words.buffer);
  if (length > 0 && (await readAt(handle.fd, bytes, position + 8)) < bytes.byteLength) return undefined;
  return crc32(bytes) === checksum ? words : undefined;
}
