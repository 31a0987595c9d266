import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { callContext } from '../../test/support/call-context.ts';
import { testInstance } from '../../test/support/instance.ts';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { ResumableUploads } from '../adapters/upload/resumable-uploads.ts';
import type { Compressor } from '../domain/compressor.ts';
import { type Digest, digestOf } from '../domain/digest.ts';
import { formatBlobName, formatUploadName } from '../domain/resource-name.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { brotli } from '../lib/brotli.ts';
import type { Compression } from '../lib/compression.ts';
import { deflate } from '../lib/deflate.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { loadZstd } from '../lib/zstd.ts';
import type { WriteRequest } from '../proto/google/bytestream/bytestream.ts';
import { ByteStream } from './byte-stream.ts';
import { Instances } from './instances.ts';

const context = callContext();
const { signal } = context;
const UUID = '5a9b0f4e-7d1c-4b7e-9d9c-0d7f2b6a1e11';
const COMPRESSIONS = new Map<Compressor, Compression>([
  ['zstd', (await loadZstd()) as Compression],
  ['deflate', deflate],
  ['brotli', brotli],
]);

/** ByteStream over an empty store. */
class Subject {
  readonly blobs = new MemoryBlobStore(1 << 24);
  readonly #uploads = new ResumableUploads(this.blobs, new FakeClock(), {
    expiryMilliseconds: 1_000,
    maximumPartialBytes: 1e6,
  });
  readonly #service = new ByteStream(new Instances([testInstance(this.blobs, { uploads: this.#uploads })]), {
    compressions: COMPRESSIONS,
  });

  async read(digest: Digest, readOffset: bigint, readLimit: bigint, compressor: Compressor = 'identity') {
    const resourceName = formatBlobName({ instanceName: 'main', compressor, digest });
    const chunks: Buffer[] = [];
    for await (const { data } of this.#service.read({ resourceName, readOffset, readLimit }, context))
      chunks.push(data);
    return Buffer.concat(chunks);
  }

  /** One call that sends these pieces from an offset on. */
  write(digest: Digest, compressor: Compressor, offset: number, pieces: readonly Uint8Array[], finish: boolean) {
    const resourceName = formatUploadName({
      instanceName: 'main',
      uuid: UUID,
      compressor,
      digest,
      metadata: undefined,
    });
    async function* messages(): AsyncGenerator<WriteRequest> {
      let at = offset;
      for (const [index, piece] of [...pieces, new Uint8Array(0)].entries()) {
        const isLast = index === pieces.length;
        yield {
          resourceName: index === 0 ? resourceName : '',
          writeOffset: BigInt(at),
          data: Buffer.from(piece),
          finishWrite: isLast && finish,
        };
        at += piece.byteLength;
      }
    }
    return this.#service.write(messages(), context);
  }

  async committed(digest: Digest): Promise<number> {
    const resourceName = formatUploadName({
      instanceName: 'main',
      uuid: UUID,
      compressor: 'identity',
      digest,
      metadata: undefined,
    });
    try {
      return Number((await this.#service.queryWriteStatus({ resourceName }, context)).committedSize);
    } catch (thrown) {
      if (thrown instanceof StatusError && thrown.code === StatusCode.NOT_FOUND) return 0;
      throw thrown;
    }
  }

  async isStored(digest: Digest): Promise<boolean> {
    return (await this.blobs.findMissing([digest], signal)).length === 0;
  }
}

/** Bytes in pieces of these lengths, used in turn. */
function cut(data: Uint8Array, lengths: readonly number[]): Uint8Array[] {
  const pieces: Uint8Array[] = [];
  for (let at = 0, turn = 0; at < data.byteLength; turn++) {
    const length = lengths[turn % lengths.length] ?? 1;
    pieces.push(data.subarray(at, at + length));
    at += length;
  }
  return pieces;
}

async function packed(compressor: Compressor, data: Uint8Array): Promise<Uint8Array> {
  return (await COMPRESSIONS.get(compressor)?.compress(data, signal)) ?? data;
}

const content = fc
  .tuple(fc.nat({ max: 4_000 }), fc.boolean(), fc.nat())
  .map(([size, isRandom, seed]) =>
    isRandom
      ? Buffer.concat(
          Array.from({ length: Math.ceil(size / 32) }, (_, i) => createHash('sha256').update(`${seed} ${i}`).digest()),
        ).subarray(0, size)
      : Buffer.alloc(size, seed % 256),
  );
const pieceLengths = fc.array(fc.integer({ min: 1, max: 700 }), { minLength: 1, maxLength: 4 });
const compressor = fc.constantFrom<Compressor>('identity', 'zstd', 'deflate', 'brotli');

/** One call of an upload: where it begins, of what has arrived, how far it comes, and whether it says that it is done. */
const call = fc.record({
  compressor,
  begin: fc.constantFrom('where it stopped', 'at 0', 'somewhere before', 'beyond'),
  part: fc.double({ min: 0, max: 1, noNaN: true }),
  finish: fc.boolean(),
  pieceLengths,
});

describe('Read', () => {
  test('gives what a slice of the blob gives, or says that the offset is out of range', async () => {
    const offset = fc.oneof(
      fc.bigInt({ min: -3n, max: 4_100n }),
      fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
    );
    await fc.assert(
      fc.asyncProperty(content, offset, offset, async (data, readOffset, readLimit) => {
        const subject = new Subject();
        const digest = digestOf(data);
        if (data.byteLength > 0) await subject.blobs.write(digest, data, signal);
        const told = await subject
          .read(digest, readOffset, readLimit)
          .catch((thrown: unknown) => (thrown as StatusError).code);
        const end = readLimit > 0n ? readOffset + readLimit : BigInt(data.byteLength);
        const isBehind = readOffset < 0n || readOffset > BigInt(data.byteLength);
        const slice = data.subarray(Number(readOffset), Number(end < 4_096n ? end : 4_096n));
        const code = isBehind ? StatusCode.OUT_OF_RANGE : StatusCode.INVALID_ARGUMENT;
        expect(told).toEqual(isBehind || readLimit < 0n ? code : Buffer.from(slice));
      }),
      { numRuns: 60 },
    );
  });

  test('gives in compressed form what the blob is from the offset on', async () => {
    await fc.assert(
      fc.asyncProperty(content, compressor, fc.double({ min: 0, max: 1, noNaN: true }), async (data, form, part) => {
        const subject = new Subject();
        const digest = digestOf(data);
        if (data.byteLength > 0) await subject.blobs.write(digest, data, signal);
        const offset = Math.floor(part * data.byteLength);
        const sent = await subject.read(digest, BigInt(offset), 0n, form);
        const plain = (await COMPRESSIONS.get(form)?.decompress(sent, 1e6, signal)) ?? sent;
        expect(data.subarray(offset).equals(plain)).toBe(true);
      }),
      { numRuns: 60 },
    );
  });
});

describe('Write', () => {
  test('takes a blob in any number of calls, in any form, from any offset that has arrived', async () => {
    await fc.assert(
      fc.asyncProperty(content, fc.array(call, { minLength: 1, maxLength: 6 }), async (data, calls) => {
        const subject = new Subject();
        const digest = digestOf(data);
        for (const each of calls) {
          const before = await subject.committed(digest);
          const wasStored = await subject.isStored(digest);
          const offset = {
            'where it stopped': before,
            'at 0': 0,
            'somewhere before': Math.floor(before * each.part),
            beyond: before + 7,
          }[each.begin];
          const rest = data.subarray(Math.min(offset, data.byteLength));
          const isWhole = each.finish;
          const sent = await packed(
            each.compressor,
            isWhole ? rest : rest.subarray(0, Math.floor(rest.byteLength * each.part)),
          );
          const pieces = cut(sent, each.pieceLengths);
          const outcome = await subject.write(digest, each.compressor, offset, pieces, isWhole).then(
            () => 'done',
            (thrown: unknown) => (thrown as StatusError).code,
          );
          const expected = !wasStored && offset > before ? StatusCode.OUT_OF_RANGE : 'done';
          const isStored = wasStored || (expected === 'done' && isWhole);
          expect(outcome).toBe(expected);
          expect(await subject.isStored(digest)).toBe(isStored);
          expect(await subject.committed(digest)).toBeGreaterThanOrEqual(isStored ? data.byteLength : before);
        }
        await subject.write(digest, 'identity', 0, [data], true);
        expect(data.equals(await subject.read(digest, 0n, 0n))).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  test('answers damaged uploads INVALID_ARGUMENT, stores nothing of them, and takes the right one afterwards', async () => {
    const damage = fc.record({
      kind: fc.constantFrom('flip', 'cut', 'insert', 'append', 'replace'),
      at: fc.double({ min: 0, max: 1, noNaN: true }),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 40 }),
    });
    await fc.assert(
      fc.asyncProperty(content, compressor, damage, pieceLengths, async (data, form, { kind, at, bytes }, lengths) => {
        const subject = new Subject();
        const digest = digestOf(data);
        const sent = Buffer.from(await packed(form, data));
        const place = Math.floor(at * sent.byteLength);
        const [head, tail] = [sent.subarray(0, place), sent.subarray(place)];
        const damaged = {
          flip: Buffer.from(sent.map((byte, i) => (i === place ? byte ^ (bytes[0] as number) : byte))),
          cut: head,
          insert: Buffer.concat([head, bytes, tail]),
          append: Buffer.concat([sent, bytes]),
          replace: Buffer.concat([head, bytes]),
        }[kind];
        const outcome = await subject.write(digest, form, 0, cut(damaged, lengths), true).then(
          () => 'done',
          (thrown: unknown) => (thrown as StatusError).code,
        );
        // Some formats carry bytes that mean nothing; what is stored must be right all the same.
        expect(['done', StatusCode.INVALID_ARGUMENT]).toContain(outcome);
        expect(await subject.isStored(digest)).toBe(outcome === 'done' || data.byteLength === 0);
        await subject.write(digest, form, 0, cut(sent, lengths), true);
        expect(data.equals(await subject.read(digest, 0n, 0n))).toBe(true);
      }),
      { numRuns: 150 },
    );
  });
});
