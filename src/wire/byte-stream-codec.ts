import {
  ByteStreamService,
  type ReadResponse,
  ReadResponse as ReadResponseCodec,
  type WriteRequest,
  WriteRequest as WriteRequestCodec,
} from '../proto/google/bytestream/bytestream.ts';

/**
 * Coding of the two messages that carry the bytes of blobs, byte for byte as the generated code writes them.
 *
 * Generated code copies each chunk three times on the way out and once on the way in; at 1 MiB a chunk that is a
 * third of the CPU of a transfer. Here it is one copy out and none in: `data` of what is decoded is a view of the
 * message's buffer, which therefore lives as long as the chunk does.
 */

/** Tag of a length-delimited field. */
const RESOURCE_NAME_TAG = (1 << 3) | 2;
const WRITE_OFFSET_TAG = (2 << 3) | 0;
const FINISH_WRITE_TAG = (3 << 3) | 0;
const DATA_TAG = (10 << 3) | 2;

/** google.bytestream.ReadResponse in one allocation and one copy. */
export function encodeReadResponse(message: { readonly data: Uint8Array }): Buffer {
  const { data } = message;
  if (data.byteLength === 0) return Buffer.alloc(0);
  const start = 1 + varintLength(data.byteLength);
  const buffer = Buffer.allocUnsafe(start + data.byteLength);
  buffer[0] = DATA_TAG;
  writeVarint(buffer, 1, data.byteLength);
  buffer.set(data, start);
  return buffer;
}

/** google.bytestream.ReadResponse; `data` is a view of `buffer`. @throws Error when it is not well formed. */
export function decodeReadResponse(buffer: Buffer): ReadResponse {
  if (buffer.byteLength === 0) return { data: buffer };
  const cursor = { buffer, at: 0 };
  if (buffer[cursor.at++] === DATA_TAG) {
    const length = readVarint(cursor);
    if (length !== undefined && cursor.at + length === buffer.byteLength) return { data: buffer.subarray(cursor.at) };
  }
  return ReadResponseCodec.decode(buffer);
}

/** google.bytestream.WriteRequest in one allocation and one copy. */
export function encodeWriteRequest(message: WriteRequest): Buffer {
  const offset = Number(message.writeOffset);
  if (!Number.isSafeInteger(offset) || offset < 0) return Buffer.from(WriteRequestCodec.encode(message).finish());
  const { data, resourceName, finishWrite } = message;
  const nameLength = Buffer.byteLength(resourceName);
  const length =
    (nameLength === 0 ? 0 : 1 + varintLength(nameLength) + nameLength) +
    (offset === 0 ? 0 : 1 + varintLength(offset)) +
    (finishWrite ? 2 : 0) +
    (data.byteLength === 0 ? 0 : 1 + varintLength(data.byteLength) + data.byteLength);
  const buffer = Buffer.allocUnsafe(length);
  let at = 0;
  if (nameLength > 0) {
    buffer[at++] = RESOURCE_NAME_TAG;
    at = writeVarint(buffer, at, nameLength);
    at += buffer.write(resourceName, at);
  }
  if (offset > 0) {
    buffer[at++] = WRITE_OFFSET_TAG;
    at = writeVarint(buffer, at, offset);
  }
  if (finishWrite) {
    buffer[at++] = FINISH_WRITE_TAG;
    buffer[at++] = 1;
  }
  if (data.byteLength > 0) {
    buffer[at++] = DATA_TAG;
    at = writeVarint(buffer, at, data.byteLength);
    buffer.set(data, at);
  }
  return buffer;
}

/** google.bytestream.WriteRequest; `data` is a view of `buffer`. @throws Error when it is not well formed. */
export function decodeWriteRequest(buffer: Buffer): WriteRequest {
  return decodeKnownFields(buffer) ?? WriteRequestCodec.decode(buffer);
}

/** The message, or undefined where it holds anything but the four fields in their usual form. */
function decodeKnownFields(buffer: Buffer): WriteRequest | undefined {
  const message: WriteRequest = { resourceName: '', writeOffset: 0n, finishWrite: false, data: EMPTY };
  const cursor = { buffer, at: 0 };
  while (cursor.at < buffer.byteLength) {
    const tag = buffer[cursor.at++] ?? 0;
    const value = readVarint(cursor);
    if (value === undefined) return undefined;
    switch (tag) {
      case WRITE_OFFSET_TAG:
        message.writeOffset = BigInt(value);
        break;
      case FINISH_WRITE_TAG:
        message.finishWrite = value !== 0;
        break;
      case RESOURCE_NAME_TAG:
      case DATA_TAG: {
        const end = cursor.at + value;
        if (end > buffer.byteLength) return undefined;
        if (tag === DATA_TAG) message.data = buffer.subarray(cursor.at, end);
        else message.resourceName = buffer.toString('utf8', cursor.at, end);
        cursor.at = end;
        break;
      }
      default:
        return undefined;
    }
  }
  return message;
}

const EMPTY = Buffer.alloc(0);

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
  return length;
}

/** @returns the offset behind what was written. */
function writeVarint(buffer: Buffer, at: number, value: number): number {
  let rest = value;
  let next = at;
  while (rest >= 0x80) {
    buffer[next++] = (rest % 0x80) | 0x80;
    rest = Math.floor(rest / 0x80);
  }
  buffer[next++] = rest;
  return next;
}

/** The number at the cursor, which moves on; undefined where it is cut off or above 2^53 - 1. */
function readVarint(cursor: { readonly buffer: Buffer; at: number }): number | undefined {
  let value = 0;
  for (let scale = 1; scale <= 2 ** 49; scale *= 0x80) {
    const byte = cursor.buffer[cursor.at++];
    if (byte === undefined) return undefined;
    value += (byte & 0x7f) * scale;
    if (byte < 0x80) return Number.isSafeInteger(value) ? value : undefined;
  }
  return undefined;
}

/** ByteStreamService with the coding above for Read and Write: for servers (`addService`) and clients alike. */
export const FastByteStreamService = {
  ...ByteStreamService,
  read: {
    ...ByteStreamService.read,
    responseSerialize: encodeReadResponse,
    responseDeserialize: decodeReadResponse,
  },
  write: {
    ...ByteStreamService.write,
    requestSerialize: encodeWriteRequest,
    requestDeserialize: decodeWriteRequest,
  },
} as const;
