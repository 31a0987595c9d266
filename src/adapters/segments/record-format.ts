import { crc32 } from 'node:zlib';
import { KEY_WORDS, newRecordKey, type RecordKey } from './record-key.ts';

/*
 * A segment is a header of 16 bytes and then records, one after the other. All numbers are little-endian.
 *
 *   segment header                       record header                      at
 *   magic "WSEG"          u32            magic "WREC"                        0  u32
 *   version               u32            CRC-32 of bytes 8 to 71             4  u32
 *   number of the segment u32            CRC-32 of the payload               8  u32
 *   CRC-32 of the above   u32            length of the payload              12  u32
 *                                        kind: 1 value, 2 removal           16  u32
 *                                        time of writing, seconds           20  u32
 *                                        number of the segment              24  u32
 *                                        place in the segment, in 8 bytes   28  u32
 *                                        key                                32  10 x u32
 *                                        payload                            72  filled up with zeros to 8 bytes
 *
 * A record names its own place, so that no bytes from elsewhere pass for it.
 */
const SEGMENT_MAGIC = 0x47_45_53_57;
const RECORD_MAGIC = 0x43_45_52_57;
const VERSION = 1;

export const SEGMENT_HEADER_BYTES = 16;
export const RECORD_HEADER_BYTES = 72;
const SEGMENT_CHECKSUM_AT = 12;
const KEY_AT = 32;
/** Places are counted in units of so many bytes. */
export const PLACE_UNIT = 8;

/** Why a record is there. */
export const RecordKind = { VALUE: 1, REMOVAL: 2 } as const;
export type RecordKind = (typeof RecordKind)[keyof typeof RecordKind];

export interface RecordHeader {
  readonly kind: RecordKind;
  readonly key: RecordKey;
  readonly payloadLength: number;
  readonly payloadChecksum: number;
  /** Seconds since the epoch. */
  readonly writtenSeconds: number;
}

/** Bytes that a record with such a payload takes. */
export function recordBytes(payloadLength: number): number {
  return (RECORD_HEADER_BYTES + payloadLength + PLACE_UNIT - 1) & -PLACE_UNIT;
}

export function encodeSegmentHeader(segment: number): Buffer {
  const header = Buffer.alloc(SEGMENT_HEADER_BYTES);
  header.writeUInt32LE(SEGMENT_MAGIC, 0);
  header.writeUInt32LE(VERSION, 4);
  header.writeUInt32LE(segment, 8);
  header.writeUInt32LE(checksumOfHeader(header), SEGMENT_CHECKSUM_AT);
  return header;
}

/** Whether the header of a segment was damaged, so that it is neither of this version and segment nor of any other. */
export function isDamagedSegmentHeader(header: Buffer): boolean {
  return header.readUInt32LE(SEGMENT_CHECKSUM_AT) !== checksumOfHeader(header);
}

function checksumOfHeader(header: Buffer): number {
  return crc32(header.subarray(0, SEGMENT_CHECKSUM_AT));
}

export function isSegmentHeader(header: Buffer, segment: number): boolean {
  return header.equals(encodeSegmentHeader(segment));
}

/**
 * Writes a record.
 *
 * @param place where in the segment the record will lie, in units of 8 bytes.
 * @returns the bytes written.
 */
export function encodeRecord(
  into: Buffer,
  at: number,
  segment: number,
  place: number,
  kind: RecordKind,
  key: RecordKey,
  payload: Uint8Array,
  writtenSeconds: number,
): number {
  const bytes = recordBytes(payload.byteLength);
  into.writeUInt32LE(RECORD_MAGIC, at);
  into.writeUInt32LE(crc32(payload), at + 8);
  into.writeUInt32LE(payload.byteLength, at + 12);
  into.writeUInt32LE(kind, at + 16);
  into.writeUInt32LE(writtenSeconds, at + 20);
  into.writeUInt32LE(segment, at + 24);
  into.writeUInt32LE(place, at + 28);
  for (let word = 0; word < KEY_WORDS; word++) into.writeUInt32LE(key[word] as number, at + KEY_AT + word * 4);
  into.writeUInt32LE(crc32(into.subarray(at + 8, at + RECORD_HEADER_BYTES)), at + 4);
  into.set(payload, at + RECORD_HEADER_BYTES);
  into.fill(0, at + RECORD_HEADER_BYTES + payload.byteLength, at + bytes);
  return bytes;
}

/** The header at `at`, or undefined where there is no whole and undamaged header of this very place. */
export function decodeRecordHeader(from: Buffer, at: number, segment: number, place: number): RecordHeader | undefined {
  if (from.byteLength - at < RECORD_HEADER_BYTES) return undefined;
  if (from.readUInt32LE(at) !== RECORD_MAGIC) return undefined;
  if (from.readUInt32LE(at + 24) !== segment || from.readUInt32LE(at + 28) !== place) return undefined;
  if (from.readUInt32LE(at + 4) !== crc32(from.subarray(at + 8, at + RECORD_HEADER_BYTES))) return undefined;
  const kind = from.readUInt32LE(at + 16);
  if (kind !== RecordKind.VALUE && kind !== RecordKind.REMOVAL) return undefined;
  const key = newRecordKey();
  for (let word = 0; word < KEY_WORDS; word++) key[word] = from.readUInt32LE(at + KEY_AT + word * 4);
  return {
    kind,
    key,
    payloadLength: from.readUInt32LE(at + 12),
    payloadChecksum: from.readUInt32LE(at + 8),
    writtenSeconds: from.readUInt32LE(at + 20),
  };
}

/**
 * The payload of the value of this key in a buffer that holds exactly its record, or undefined where the record is
 * damaged or another one.
 */
export function decodeValue(record: Buffer, segment: number, place: number, key: RecordKey): Buffer | undefined {
  if (record.byteLength < RECORD_HEADER_BYTES) return undefined;
  if (record.readUInt32LE(0) !== RECORD_MAGIC || record.readUInt32LE(16) !== RecordKind.VALUE) return undefined;
  if (record.readUInt32LE(24) !== segment || record.readUInt32LE(28) !== place) return undefined;
  for (let word = 0; word < KEY_WORDS; word++) {
    if (record.readUInt32LE(KEY_AT + word * 4) !== key[word]) return undefined;
  }
  const payload = record.subarray(RECORD_HEADER_BYTES);
  if (record.readUInt32LE(12) !== payload.byteLength) return undefined;
  return record.readUInt32LE(8) === crc32(payload) ? payload : undefined;
}
