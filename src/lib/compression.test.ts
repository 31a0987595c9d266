import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { brotli } from './brotli.ts';
import { type Compression, CompressionError } from './compression.ts';
import { deflate } from './deflate.ts';
import { loadZstd } from './zstd.ts';

const { signal } = new AbortController();
const zstd = (await loadZstd()) as Compression;

async function* stream(chunks: Iterable<Uint8Array>, failure?: Error): AsyncGenerator<Uint8Array> {
  yield* chunks;
  if (failure !== undefined) throw failure;
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of source) chunks.push(chunk);
  return Buffer.concat(chunks);
}

const pieces = fc.array(
  fc.oneof(
    fc.uint8Array({ maxLength: 5_000 }),
    fc.nat({ max: 300_000 }).map((size) => new Uint8Array(size)),
  ),
  { maxLength: 4 },
);

describe.each([
  ['zstd', zstd],
  ['deflate', deflate],
  ['brotli', brotli],
])('%s', (_, compression) => {
  test('data comes back as it was, whole or in pieces, one way and the other', async () => {
    await fc.assert(
      fc.asyncProperty(pieces, async (chunks) => {
        const data = Buffer.concat(chunks);
        const whole = await compression.compress(data, signal);
        expect(data.equals(await compression.decompress(whole, data.byteLength, signal))).toBe(true);
        const streamed = await collect(compression.compressStream(stream(chunks)));
        expect(data.equals(await compression.decompress(streamed, data.byteLength, signal))).toBe(true);
        const cut = streamed.byteLength >> 1;
        const halves = stream([streamed.subarray(0, cut), streamed.subarray(cut)]);
        expect(data.equals(await collect(compression.decompressStream(halves, data.byteLength)))).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  test('of a stream that broke off nothing comes out in another', async () => {
    const [noise, data] = [randomBytes(300_000), randomBytes(1_000)];
    const left = async () => {
      for await (const _chunk of compression.compressStream(stream([noise, noise, noise]))) return;
    };
    const broken = () => collect(compression.compressStream(stream([noise], new Error('the source broke off'))));
    for (const breakOff of [left, () => broken().catch(() => {})]) {
      await breakOff();
      const next = await collect(compression.compressStream(stream([data])));
      expect(data.equals(await compression.decompress(next, data.byteLength, signal))).toBe(true);
    }
  });

  test('what unpacks to more than it may is refused, and not by unpacking it whole', async () => {
    const bomb = await collect(
      compression.compressStream(stream(Array.from({ length: 64 }, () => Buffer.alloc(1 << 20)))),
    );
    expect(bomb.byteLength).toBeLessThan(100_000);
    await expect(compression.decompress(bomb, 1_000_000, signal)).rejects.toThrow(CompressionError);
    let given = 0;
    const unpacked = (async () => {
      for await (const chunk of compression.decompressStream(stream([bomb]), 1_000_000)) given += chunk.byteLength;
    })();
    await expect(unpacked).rejects.toThrow('more than 1000000 bytes');
    expect(given).toBeLessThanOrEqual(1_000_000);
  });

  test('one byte more than it may is refused', async () => {
    const packed = await compression.compress(Buffer.alloc(1_000, 'x'), signal);
    await expect(compression.decompress(packed, 999, signal)).rejects.toThrow(CompressionError);
  });

  test('damaged data is a CompressionError', async () => {
    const garbage = Buffer.alloc(1_000, 0xff);
    await expect(compression.decompress(garbage, 1e6, signal)).rejects.toThrow(CompressionError);
    await expect(collect(compression.decompressStream(stream([garbage]), 1e6))).rejects.toThrow(CompressionError);
  });

  test('cut data never gives what it was', async () => {
    const data = Buffer.from(Array.from({ length: 20_000 }, (__, i) => (i * i) % 251));
    const packed = await compression.compress(data, signal);
    const got = await compression.decompress(packed.subarray(0, -10), 1e6, signal).catch(() => Buffer.alloc(0));
    expect(data.equals(got)).toBe(false);
  });

  test('whatever the bytes, no more comes out than may, and nothing but a CompressionError is thrown', async () => {
    const good = await compression.compress(
      Buffer.from(Array.from({ length: 3_000 }, (__, i) => (i * i) % 251)),
      signal,
    );
    const hostile = fc.oneof(
      fc.uint8Array({ maxLength: 300 }),
      fc
        .tuple(fc.nat({ max: good.byteLength - 1 }), fc.uint8Array({ minLength: 1, maxLength: 9 }))
        .map(([at, bytes]) => {
          const damaged = Uint8Array.from(good);
          damaged.set(bytes.subarray(0, good.byteLength - at), at);
          return damaged;
        }),
      fc.array(fc.constant(good), { maxLength: 3 }).map((each) => Buffer.concat(each)),
    );
    await fc.assert(
      fc.asyncProperty(hostile, fc.nat({ max: 4_000 }), fc.integer({ min: 1, max: 200 }), async (data, most, step) => {
        const pieces = Array.from({ length: Math.ceil(data.byteLength / step) }, (__, i) =>
          data.subarray(i * step, (i + 1) * step),
        );
        const outcomes = await Promise.all(
          [compression.decompress(data, most, signal), collect(compression.decompressStream(stream(pieces), most))].map(
            (each) => each.catch((thrown: unknown) => thrown),
          ),
        );
        for (const each of outcomes) {
          expect(each instanceof CompressionError ? 0 : (each as Uint8Array).byteLength).toBeLessThanOrEqual(most);
        }
      }),
      { numRuns: 60 },
    );
  });

  test('a failing source fails with its own reason', async () => {
    const lost = new Error('lost');
    await expect(collect(compression.compressStream(stream([Buffer.from('x')], lost)))).rejects.toThrow(lost);
    const packed = await compression.compress(Buffer.alloc(1_000, 'x'), signal);
    const cut = stream([packed.subarray(0, 5)], lost);
    await expect(collect(compression.decompressStream(cut, 1e6))).rejects.toThrow(lost);
  });

  test('a consumer that stops lets go of the source', async () => {
    let released = false;
    async function* endless() {
      try {
        for (;;) yield randomBytes(50_000);
      } finally {
        released = true;
      }
    }
    const iterator = compression.compressStream(endless())[Symbol.asyncIterator]();
    await iterator.next();
    await iterator.return?.();
    await expect.poll(() => released).toBe(true);
  });
});
