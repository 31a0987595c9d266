import { expect, test } from 'vitest';
import { PackedRecord } from './packed-record.ts';

/** A text of MessagePack with the shortest header that holds its size, as Redis' library writes it. */
function packed(text: string): Buffer {
  const bytes = Buffer.from(text);
  const { length } = bytes;
  if (length < 32) return Buffer.concat([Buffer.from([0xa0 | length]), bytes]);
  if (length < 2 ** 8) return Buffer.concat([Buffer.from([0xd9, length]), bytes]);
  const header = Buffer.alloc(length < 2 ** 16 ? 3 : 5);
  header[0] = length < 2 ** 16 ? 0xda : 0xdb;
  header.writeUIntBE(length, 1, header.length - 1);
  return Buffer.concat([header, bytes]);
}

const SIZES = [0, 1, 31, 32, 255, 256, 65_535, 65_536];

test.each([
  ['few', [0x90 | 2], 1],
  ['many', [0xdc, 0, 2 * SIZES.length], SIZES.length],
  ['very many', [0xdd, 0, 0, 0, 2 * SIZES.length], SIZES.length],
])('%s fields are read with values of any size', (_how, header, count) => {
  const fields = SIZES.slice(0, count).map((size) => [`${size}`, 'ü'.repeat(size >> 1).padEnd(size, 'x')] as const);
  const record = PackedRecord.read(
    Buffer.concat([Buffer.from(header), ...fields.flatMap(([name, value]) => [packed(name), packed(value)])]),
  );
  expect([...(record?.names ?? [])]).toEqual(fields.map(([name]) => name));
  for (const [name, value] of fields) {
    expect(record?.text(name)).toBe(value);
    expect(Buffer.from(record?.bytes(name) ?? [])).toEqual(Buffer.from(value));
  }
  expect([record?.text('none'), record?.bytes('none')]).toEqual(['', undefined]);
});

test('where there is no record none is read', () => {
  expect([PackedRecord.read(null), PackedRecord.read([])]).toEqual([undefined, undefined]);
});
