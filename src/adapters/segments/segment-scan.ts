import { open } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { readAt, writeAt } from '../../lib/file-io.ts';
import {
  decodeRecordHeader,
  encodeSegmentHeader,
  isDamagedSegmentHeader,
  isSegmentHeader,
  PLACE_UNIT,
  RECORD_HEADER_BYTES,
  type RecordHeader,
  recordBytes,
  SEGMENT_HEADER_BYTES,
} from './record-format.ts';
import type { RecordKey } from './record-key.ts';
import type { Segment } from './segment.ts';

const WINDOW_BYTES = 1024 * 1024;

export interface ScannedRecord {
  readonly header: RecordHeader;
  readonly place: number;
  /** Belongs to the scan: copy it to keep it. Undefined where it is damaged. */
  readonly payload: Buffer | undefined;
}

/** Tells of a payload whose header chain is broken whether it is by its own content what its key says. */
export type Certify = (key: RecordKey, payload: Uint8Array) => boolean;

export interface ScanResult {
  /** Where the last whole record ends; what follows is torn. */
  readonly end: number;
  /** Whether bytes in between were damaged and passed over. */
  readonly damaged: boolean;
}

/** Whether the file begins as a segment of this number does. */
export async function hasSegmentHeader(path: string, number: number): Promise<boolean> {
  const handle = await open(path, 'r');
  try {
    const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
    return (await readAt(handle.fd, header, 0)) === SEGMENT_HEADER_BYTES && isSegmentHeader(header, number);
  } finally {
    await handle.close();
  }
}

/**
 * Writes the header of a segment again where it was damaged: every record names its segment and place by itself, so that
 * none need be lost with it.
 *
 * @returns whether it did; not where the header is whole but another's, or the file too short for one.
 */
export async function mendSegmentHeader(path: string, number: number): Promise<boolean> {
  const handle = await open(path, 'r+');
  try {
    const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
    const isThere = (await readAt(handle.fd, header, 0)) === SEGMENT_HEADER_BYTES;
    if (!isThere || !isDamagedSegmentHeader(header)) return false;
    await writeAt(handle.fd, encodeSegmentHeader(number), 0);
    return true;
  } finally {
    await handle.close();
  }
}

/**
 * Reads the records of a segment in order, from byte `from` to byte `to`, with memory for one megabyte and one record.
 *
 * Where a header is damaged the scan looks for the next record. Bytes inside a blob can be made to look like a record,
 * so what is found that way counts only if `certify` says that the payload is what its key names; without `certify` the
 * rest of the segment is given up.
 */
export async function scanSegment(
  segment: Pick<Segment, 'number' | 'path'>,
  from: number,
  to: number,
  certify: Certify | undefined,
  take: (record: ScannedRecord) => void | Promise<void>,
): Promise<ScanResult> {
  const handle = await open(segment.path, 'r');
  let window = Buffer.allocUnsafe(WINDOW_BYTES);
  let start = 0;
  let filled = 0;
  /** Has the bytes from `at` on in the window, as many as there are up to `bytes`. */
  const load = async (at: number, bytes: number): Promise<number> => {
    const wanted = Math.min(bytes, to - at);
    if (at < start || at + wanted > start + filled) {
      if (wanted > window.byteLength) window = Buffer.allocUnsafe(wanted);
      start = at;
      filled = await readAt(handle.fd, window.subarray(0, Math.min(window.byteLength, to - at)), at);
    }
    return Math.min(wanted, start + filled - at);
  };
  try {
    let position = from;
    let end = from;
    let damaged = false;
    let astray = false;
    while (position < to) {
      const available = await load(position, RECORD_HEADER_BYTES);
      if (available < RECORD_HEADER_BYTES) break;
      const place = position / PLACE_UNIT;
      const header = decodeRecordHeader(window, position - start, segment.number, place);
      const bytes = header === undefined ? 0 : recordBytes(header.payloadLength);
      if (header === undefined || position + bytes > to || (await load(position, bytes)) < bytes) {
        if (certify === undefined) break;
        astray = true;
        position += PLACE_UNIT;
        continue;
      }
      const at = position - start + RECORD_HEADER_BYTES;
      const payload = window.subarray(at, at + header.payloadLength);
      const intact = crc32(payload) === header.payloadChecksum;
      if (astray && !(intact && header.payloadLength > 0 && certify?.(header.key, payload))) {
        position += PLACE_UNIT;
        continue;
      }
      damaged ||= astray || !intact;
      await take({ header, place, payload: intact ? payload : undefined });
      position += bytes;
      end = position;
    }
    return { end, damaged };
  } finally {
    await handle.close();
  }
}
