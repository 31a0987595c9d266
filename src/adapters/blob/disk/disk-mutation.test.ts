import {
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { digestOf } from '../../../domain/digest.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { someBytes } from '../../../ports/blob-store.suite.ts';
import { DiskActionCacheStore } from '../../action-cache/disk/disk-action-cache-store.ts';
import { diskActionCacheSchema } from '../../action-cache/disk/disk-configuration.ts';
import { DiskBlobStore } from './disk-blob-store.ts';
import { diskBlobStoreSchema } from './disk-configuration.ts';

const signal = new AbortController().signal;
const blobs = Array.from({ length: 24 }, (_, i) => someBytes(i % 8 === 0 ? 150_000 + i : 300 + i * 97, i + 1));
const results = Array.from({ length: 12 }, (_, i) => someBytes(40 + i * 13, 500 + i));

/** Something that happens to the files of a store behind its back. */
interface Mutation {
  readonly kind: 'flip' | 'truncate' | 'remove' | 'append' | 'zero';
  /** Which file and where in it, as parts of what there is. */
  readonly file: number;
  readonly place: number;
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom('flip', 'flip', 'truncate', 'remove', 'append', 'zero'),
  file: fc.double({ min: 0, max: 0.999, noNaN: true }),
  place: fc.double({ min: 0, max: 0.999, noNaN: true }),
});
const history = fc.record({
  mutations: fc.array(mutation, { minLength: 1, maxLength: 4 }),
  /** Whether the store is open while it happens; else it is opened afterwards. */
  live: fc.boolean(),
  /** Whether the last stop was clean. */
  clean: fc.boolean(),
});

let root: string;
let template: string;
let runs = 0;

beforeAll(async () => {
  root = mkdtempSync(join(tmpdir(), 'warren-mutation-'));
  template = join(root, 'template');
  const stores = await open(template);
  for (const data of blobs) await stores.blobs.write(digestOf(data), data, signal);
  for (const data of results) await stores.results.put('main', digestOf(data), data, signal);
  await stores.close();
});
afterAll(() => rmSync(root, { recursive: true }));

async function open(folder: string) {
  const dependencies = { clock: new FakeClock(), logger: silentLogger, random: Math.random };
  const blobStore = await DiskBlobStore.open(
    diskBlobStoreSchema.parse({ kind: 'disk', directory: join(folder, 'blobs') }),
    dependencies,
    signal,
  );
  const resultStore = await DiskActionCacheStore.open(
    diskActionCacheSchema.parse({ kind: 'disk', directory: join(folder, 'results') }),
    dependencies,
    signal,
  );
  return {
    blobs: blobStore,
    results: resultStore,
    close: async () => {
      await blobStore.close();
      await resultStore.close();
    },
  };
}

function filesOf(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((each) => each.isFile() && each.name !== 'lock')
    .map((each) => join(each.parentPath, each.name))
    .sort();
}

function mutate(folder: string, { kind, file, place }: Mutation): void {
  const files = filesOf(folder);
  const path = files[Math.floor(file * files.length)];
  if (path === undefined || !existsSync(path)) return;
  const { size } = statSync(path);
  const at = Math.floor(place * size);
  if (kind === 'remove') rmSync(path);
  else if (kind === 'truncate') truncateSync(path, at);
  else {
    const bytes = readFileSync(path);
    if (kind === 'flip' && size > 0) bytes[at] = (bytes[at] as number) ^ (1 << (at & 7));
    if (kind === 'zero') bytes.fill(0, at, Math.min(at + 4_096, size));
    writeFileSync(path, kind === 'append' ? Buffer.concat([bytes, someBytes(1_000, at + 1)]) : bytes);
  }
}

const MISSING: readonly number[] = [StatusCode.NOT_FOUND, StatusCode.DATA_LOSS];

function codeOf(cause: unknown): number {
  return (cause as { readonly code?: number }).code ?? -1;
}

describe('files that change behind the back of a store', () => {
  test('are never served wrong, and what they held can come again', async () => {
    await fc.assert(
      fc.asyncProperty(history, async ({ mutations, live, clean }) => {
        runs += 1;
        const folder = join(root, `run-${runs}`);
        cpSync(template, folder, { recursive: true });
        if (!clean) for (const each of ['blobs', 'results']) rmSync(join(folder, each, 'segments', 'clean'));
        let stores = live ? await open(folder) : undefined;
        for (const each of mutations) mutate(folder, each);
        stores ??= await open(folder);
        try {
          const wrong: string[] = [];
          for (const data of blobs) {
            const read = await stores.blobs.readWhole(digestOf(data), signal).catch(codeOf);
            const isFine = typeof read === 'number' ? MISSING.includes(read) : Buffer.from(read).equals(data);
            if (!isFine)
              wrong.push(`blob of ${data.byteLength} bytes: ${typeof read === 'number' ? read : 'other bytes'}`);
          }
          for (const data of results) {
            const read = await stores.results.get('main', digestOf(data), signal);
            if (read !== undefined && !Buffer.from(read).equals(data)) wrong.push(`result of ${data.byteLength} bytes`);
          }
          expect(wrong).toEqual([]);
          // What was found out is missing now; after it has come again everything is there, and outlasts a restart.
          for (const data of blobs) await stores.blobs.write(digestOf(data), data, signal);
          for (const data of results) await stores.results.put('main', digestOf(data), data, signal);
          for (const reopened of [false, true]) {
            if (reopened) {
              await stores.close();
              stores = await open(folder);
            }
            for (const data of blobs) {
              expect(Buffer.from(await stores.blobs.readWhole(digestOf(data), signal)).equals(data)).toBe(true);
            }
            for (const data of results) {
              const read = await stores.results.get('main', digestOf(data), signal);
              expect(Buffer.from(read ?? []).equals(data)).toBe(true);
            }
          }
        } finally {
          await stores.close();
          rmSync(folder, { recursive: true });
        }
      }),
      { numRuns: 40 },
    );
  }, 120_000);
});
