import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { digestOf } from '../../../domain/digest.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { someBytes } from '../../../ports/blob-store.suite.ts';
import { DiskBlobStore } from './disk-blob-store.ts';
import { diskBlobStoreSchema } from './disk-configuration.ts';

const signal = new AbortController().signal;
const SIZE = 2_500_000;
const data = someBytes(SIZE, 1);
const digest = digestOf(data);
let directory: string;
let store: DiskBlobStore;

const open = () =>
  DiskBlobStore.open(
    diskBlobStoreSchema.parse({ kind: 'disk', directory }),
    { clock: new FakeClock(), logger: silentLogger, random: Math.random },
    signal,
  );

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'warren-damage-'));
  store = await open();
  await store.write(digest, data, signal);
});
afterEach(async () => {
  await store.close();
  rmSync(directory, { recursive: true });
});

const files = () =>
  readdirSync(join(directory, 'files')).flatMap((folder) =>
    readdirSync(join(directory, 'files', folder)).map((name) => join(directory, 'files', folder, name)),
  );
const theFile = () => files()[0] as string;

async function readAll(offset = 0): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of store.read(digest, { offset }, signal)) chunks.push(chunk);
  return Buffer.concat(chunks);
}

function flip(path: string, bit: number): void {
  const bytes = readFileSync(path);
  bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
  writeFileSync(path, bytes);
}

describe('damage to the files of large blobs', () => {
  test('any flipped bit is DATA_LOSS, nothing wrong is served, and the blob is missing and can come again', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: SIZE * 8 - 1 }), async (bit) => {
        await store.write(digest, data, signal);
        flip(theFile(), bit);
        const got: Uint8Array[] = [];
        const reading = (async () => {
          for await (const chunk of store.read(digest, { offset: 0 }, signal)) got.push(chunk);
        })();
        await expect(reading).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
        const served = Buffer.concat(got);
        expect(served.equals(data.subarray(0, served.byteLength))).toBe(true);
        expect(await store.findMissing([digest], signal)).toEqual([digest]);
        expect(files()).toEqual([]);
      }),
      { numRuns: 20 },
    );
  });

  test('a flipped bit in the checksums is DATA_LOSS too', async () => {
    flip(theFile(), (SIZE + 5) * 8);
    await expect(readAll()).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
  });

  test('a part that is whole is served though another is damaged', async () => {
    flip(theFile(), 100);
    expect((await readAll(2_000_000)).equals(data.subarray(2_000_000))).toBe(true);
  });

  test('a file that was cut is DATA_LOSS and then missing', async () => {
    truncateSync(theFile(), SIZE - 1);
    await expect(readAll()).rejects.toMatchObject({ code: StatusCode.DATA_LOSS });
    expect(await store.findMissing([digest], signal)).toEqual([digest]);
  });

  test('a file that was removed is NOT_FOUND and then missing', async () => {
    rmSync(theFile());
    await expect(readAll()).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
    expect(await store.findMissing([digest], signal)).toEqual([digest]);
    await store.write(digest, data, signal);
    expect((await readAll()).equals(data)).toBe(true);
  });

  test('a store without its checkpoint finds its files again', async () => {
    await store.close();
    rmSync(join(directory, 'segments', 'checkpoint'));
    store = await open();
    expect((await readAll()).equals(data)).toBe(true);
  });

  test('after a stop that was not clean, files that are not whole and what was half written are removed', async () => {
    await store.close();
    rmSync(join(directory, 'segments', 'clean'));
    const kept = theFile();
    mkdirSync(join(directory, 'files', 'zz'));
    writeFileSync(join(directory, 'files', 'zz', 'stranger'), 'x');
    writeFileSync(join(directory, 'files', 'stranger'), 'x');
    writeFileSync(kept.replace(`-${SIZE}-`, '-7777-'), 'not 7777 bytes');
    writeFileSync(join(directory, 'tmp', '5'), 'half');
    store = await open();
    expect(files()).toEqual([kept]);
    expect(readdirSync(join(directory, 'tmp'))).toEqual([]);
    expect((await readAll()).equals(data)).toBe(true);
  });

  test('a second store on the same folder is refused, and can have it once the first is closed', async () => {
    await expect(open()).rejects.toThrow(/is in use by another process/);
    await store.close();
    store = await open();
    expect(await store.findMissing([digest], signal)).toEqual([]);
  });
});
