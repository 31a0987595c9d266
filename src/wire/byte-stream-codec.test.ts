import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { ReadResponse, WriteRequest } from '../proto/google/bytestream/bytestream.ts';
import { decodeReadResponse, decodeWriteRequest, encodeReadResponse, encodeWriteRequest } from './byte-stream-codec.ts';

const lengths = [0, 1, 127, 128, 16_383, 16_384, 1 << 20];

const writeRequests = fc.record({
  resourceName: fc.string({ unit: 'grapheme', maxLength: 200 }),
  writeOffset: fc.oneof(
    fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }),
    fc.constantFrom(0n, 127n, 128n, 2n ** 53n - 1n, 2n ** 53n, -1n),
  ),
  finishWrite: fc.boolean(),
  data: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
});

describe('ReadResponse', () => {
  test.each(lengths)('with %i bytes is encoded as the generated code does', (length) => {
    const message = { data: Buffer.alloc(length, 'x') };
    expect(encodeReadResponse(message).equals(ReadResponse.encode(message).finish())).toBe(true);
  });

  test.each(lengths)('with %i bytes comes back', (length) => {
    const data = Buffer.alloc(length, 'y');
    expect(decodeReadResponse(encodeReadResponse({ data })).data.equals(data)).toBe(true);
  });

  test('is decoded without a copy', () => {
    const encoded = encodeReadResponse({ data: Buffer.alloc(10_000, 'z') });
    expect(decodeReadResponse(encoded).data.buffer).toBe(encoded.buffer);
  });

  test('with fields of a later version is decoded', () => {
    const encoded = Buffer.concat([encodeReadResponse({ data: Buffer.from('abc') }), Buffer.from([0x78, 1])]);
    expect(decodeReadResponse(encoded).data.toString()).toBe('abc');
  });

  test('that is cut off is refused', () => {
    const encoded = encodeReadResponse({ data: Buffer.from('abc') });
    expect(() => decodeReadResponse(encoded.subarray(0, 3))).toThrow(Error);
  });
});

describe('WriteRequest', () => {
  test('is encoded as the generated code does', () => {
    fc.assert(
      fc.property(writeRequests, (message) => {
        expect(encodeWriteRequest(message).toString('hex')).toBe(
          Buffer.from(WriteRequest.encode(message).finish()).toString('hex'),
        );
      }),
    );
  });

  test('is decoded as the generated code does', () => {
    fc.assert(
      fc.property(writeRequests, (message) => {
        const encoded = Buffer.from(WriteRequest.encode(message).finish());
        expect(decodeWriteRequest(encoded)).toEqual(WriteRequest.decode(encoded));
      }),
    );
  });

  test('is decoded, or refused, as the generated code does, whatever the bytes are', () => {
    const outcome = (decode: (bytes: Buffer) => WriteRequest, bytes: Buffer) => {
      try {
        return decode(bytes);
      } catch {
        return 'refused';
      }
    };
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const encoded = Buffer.from(bytes);
        expect(outcome(decodeWriteRequest, encoded)).toEqual(outcome((each) => WriteRequest.decode(each), encoded));
      }),
      { numRuns: 2_000 },
    );
  });

  test('is decoded without a copy of its data', () => {
    const encoded = encodeWriteRequest({
      resourceName: 'uploads/x',
      writeOffset: 7n,
      finishWrite: true,
      data: Buffer.alloc(10_000),
    });
    expect(decodeWriteRequest(encoded).data.buffer).toBe(encoded.buffer);
  });
});
