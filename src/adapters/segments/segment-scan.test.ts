import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, describe, expect, test } from 'vitest';
import { SHA256 } from '../../domain/digest-function.ts';
import {
  encodeRecord,
  encodeSegmentHeader,
  PLACE_UNIT,
  RecordKind,
  recordBytes,
  SEGMENT_HEADER_BYTES,
} from './record-format.ts';
import { digestRecordKey, keyHash, newRecordKey } from './record-key.ts';
import { type Certify, hasSegmentHeader, mendSegmentHeader, scanSegment } from './segment-scan.ts';

const directory = mkdtempSync(join(tmpdir(), 'warren-scan-'));
const path = join(directory, 'segment');
afterAll(() => rmSync(directory, { recursive: true }));

const NUMBER = 7;
const certify: Certify = (key, payload) => SHA256.hash(payload) === keyHash(key, 64);

function segmentOf(payloads: readonly Uint8Array[]): Buffer {
  const parts: Buffer[] = [encodeSegmentHeader(NUMBER)];
  let end = SEGMENT_HEADER_BYTES;
  for (const payload of payloads) {
    const record = Buffer.alloc(recordBytes(payload.byteLength));
    const key = digestRecordKey(SHA256.hash(payload), payload.byteLength, 1, newRecordKey());
    end += encodeRecord(record, 0, NUMBER, end / PLACE_UNIT, RecordKind.VALUE, key, payload, 1);
    parts.push(record);
  }
  return Buffer.concat(parts);
}

async function scan(bytes: Buffer, check: Certify | undefined) {
  writeFileSync(path, bytes);
  const found: string[] = [];
  const named: string[] = [];
  const result = await scanSegment(
    { number: NUMBER, path },
    SEGMENT_HEADER_BYTES,
    bytes.byteLength,
    check,
    ({ header, payload }) => {
      if (payload === undefined) return;
      found.push(SHA256.hash(payload));
      named.push(keyHash(header.key, 64));
    },
  );
  // Whatever is handed out as intact must be what its key names.
  expect(found).toEqual(named);
  return { ...result, found };
}

const payloads = fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { minLength: 1, maxLength: 12 });

describe('scanSegment', () => {
  test('gives every record back, in order', async () => {
    await fc.assert(
      fc.asyncProperty(payloads, async (all) => {
        const bytes = segmentOf(all);
        const { end, damaged, found } = await scan(bytes, undefined);
        expect([end, damaged]).toEqual([bytes.byteLength, false]);
        expect(found).toEqual(all.map((each) => SHA256.hash(each)));
      }),
      { numRuns: 40 },
    );
  });

  test('of a segment cut anywhere, the whole records before the cut are found and no other', async () => {
    await fc.assert(
      fc.asyncProperty(payloads, fc.nat(), fc.boolean(), async (all, cut, certified) => {
        const bytes = segmentOf(all);
        const length = SEGMENT_HEADER_BYTES + (cut % (bytes.byteLength - SEGMENT_HEADER_BYTES + 1));
        let end = SEGMENT_HEADER_BYTES;
        const whole: string[] = [];
        for (const each of all) {
          if (end + recordBytes(each.byteLength) > length) break;
          end += recordBytes(each.byteLength);
          whole.push(SHA256.hash(each));
        }
        const result = await scan(bytes.subarray(0, length), certified ? certify : undefined);
        expect(result.found).toEqual(whole);
        expect(result.end).toBe(end);
      }),
      { numRuns: 60 },
    );
  });

  test('a flipped bit loses at most its record where blobs prove themselves, and never gives a wrong one', async () => {
    await fc.assert(
      fc.asyncProperty(payloads, fc.nat(), async (all, at) => {
        const bytes = segmentOf(all);
        const bit = (at % ((bytes.byteLength - SEGMENT_HEADER_BYTES) * 8)) + SEGMENT_HEADER_BYTES * 8;
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
        const { found } = await scan(bytes, certify);
        const expected = all.map((each) => SHA256.hash(each));
        expect(found.length).toBeGreaterThanOrEqual(expected.length - 1);
        for (const each of found) expect(expected).toContain(each);
      }),
      { numRuns: 80 },
    );
  });

  test('without proof the rest behind a damaged header is given up', async () => {
    const bytes = segmentOf([Buffer.from('one'), Buffer.from('two'), Buffer.from('three')]);
    bytes[SEGMENT_HEADER_BYTES + recordBytes(3) + 40] = 0xff;
    expect((await scan(bytes, undefined)).found).toEqual([SHA256.hash(Buffer.from('one'))]);
  });

  test('a record that a blob forges inside itself is not taken for one', async () => {
    const forged = Buffer.alloc(recordBytes(4));
    const innocent = digestRecordKey(SHA256.hash(Buffer.from('good')), 4, 1, newRecordKey());
    const first = recordBytes(1);
    const place = (SEGMENT_HEADER_BYTES + first + 72) / PLACE_UNIT;
    encodeRecord(forged, 0, NUMBER, place, RecordKind.VALUE, innocent, Buffer.from('evil'), 1);
    const bytes = segmentOf([Buffer.from('x'), forged, Buffer.from('last')]);
    bytes[SEGMENT_HEADER_BYTES + first + 5] = 0xff;
    const { found } = await scan(bytes, certify);
    expect(found).toEqual([SHA256.hash(Buffer.from('x')), SHA256.hash(Buffer.from('last'))]);
  });

  test('a header of another segment or version is refused', async () => {
    const header = encodeSegmentHeader(NUMBER);
    writeFileSync(path, header);
    expect(await hasSegmentHeader(path, NUMBER)).toBe(true);
    expect(await hasSegmentHeader(path, NUMBER + 1)).toBe(false);
    writeFileSync(path, header.subarray(0, 10));
    expect(await hasSegmentHeader(path, NUMBER)).toBe(false);
  });

  test('a damaged header is mended, one of another segment or version and a torn one are not', async () => {
    const header = encodeSegmentHeader(NUMBER);
    for (let at = 0; at < header.byteLength; at++) {
      const damaged = Buffer.concat([header, Buffer.from('what follows')]);
      damaged[at] = (damaged[at] as number) ^ 1;
      writeFileSync(path, damaged);
      expect(await mendSegmentHeader(path, NUMBER)).toBe(true);
      expect(readFileSync(path)).toEqual(Buffer.concat([header, Buffer.from('what follows')]));
    }
    for (const bytes of [encodeSegmentHeader(NUMBER + 1), header.subarray(0, 10)]) {
      writeFileSync(path, bytes);
      expect(await mendSegmentHeader(path, NUMBER)).toBe(false);
      expect(readFileSync(path)).toEqual(Buffer.from(bytes));
    }
  });
});
