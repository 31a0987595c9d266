import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { startStorageServer } from '../../test/support/storage-server.ts';
import { removeFolder, temporaryFolder } from '../../test/support/throwaway-process.ts';
import { actionCacheSchema } from '../config/action-cache-schema.ts';
import { blobStoreSchema } from '../config/blob-storage-schema.ts';
import { digestOf } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import { SystemClock } from '../lib/clock.ts';
import { SequentialIdGenerator } from '../lib/ids.ts';
import { silentLogger } from '../lib/log.ts';
import { describeBlobStore, someBytes } from '../ports/blob-store.suite.ts';
import { openActionCache } from './action-cache-storage.ts';
import { openBlobStore } from './blob-storage.ts';

const signal = new AbortController().signal;
const dependencies = {
  clock: new SystemClock(),
  ids: new SequentialIdGenerator(),
  logger: silentLogger,
  random: () => 0.5,
};
const open = (configuration: unknown) =>
  openBlobStore(blobStoreSchema.parse(configuration), ['blobs'], dependencies, signal);

let folder: string;
const disk = (name: string) => ({ kind: 'disk', directory: join(folder, name), maximumSizeBytes: 64 * 1024 * 1024 });
beforeEach(async () => {
  folder = await temporaryFolder('stores');
});
afterEach(() => removeFolder(folder));

const MEMORY = { kind: 'memory', maximumSizeBytes: 64 * 1024 * 1024 };

describe.each([
  [
    'an existence cache over tiered memory over split, sharded and mirrored disks',
    () => ({
      kind: 'existence-cache',
      store: {
        kind: 'tiered',
        fast: MEMORY,
        slow: {
          kind: 'size-split',
          small: {
            kind: 'sharded',
            shards: [
              { name: 'a', store: disk('a') },
              { name: 'b', weight: 2, store: disk('b') },
            ],
          },
          large: { kind: 'mirrored', mirrors: [disk('c'), disk('d')] },
        },
      },
    }),
  ],
  [
    'a verified write-back over disk',
    () => ({ kind: 'verifying', store: { kind: 'tiered', mode: 'write-back', fast: MEMORY, slow: disk('slow') } }),
  ],
])('%s', (name, configuration) => {
  describeBlobStore(name, async () => {
    const opened = await open(configuration());
    return { store: opened.blobs, dispose: () => opened.close(signal) };
  });
});

it('a store of another server is used with its token, and memory in front of it', async () => {
  const server = await startStorageServer();
  const tokenFile = join(folder, 'token');
  await writeFile(tokenFile, 'secret\n');
  const endpoint = `grpc://127.0.0.1:${server.port}`;
  const remote = { kind: 'remote', endpoint, instance: 'main', tokenFile };
  const store = await open({ kind: 'tiered', fast: MEMORY, slow: remote });
  const results = await openActionCache(actionCacheSchema.parse(remote), ['actionCache'], dependencies, signal);
  try {
    const data = someBytes(3_000_000);
    const digest = digestOf(data);
    await store.blobs.write(digest, data, signal);
    expect(Buffer.from(await server.blobs.readWhole(digest, signal)).equals(data)).toBe(true);
    expect(store.storedBytes()).toBe(data.byteLength);
    expect(store.maximumBytes).toBe(MEMORY.maximumSizeBytes);
    await results.store.put('another name', digest, new Uint8Array(0), signal);
    expect(await results.store.get('main', digest, signal)).toBeDefined();
  } finally {
    await results.close();
    await store.close(signal);
    await server.stop();
  }
  await expect(store.blobs.findMissing([digestOf(someBytes(9))], signal)).rejects.toMatchObject({
    code: StatusCode.UNAVAILABLE,
  });
});

it('a read-only store reads what is there and refuses the rest', async () => {
  const data = someBytes(100);
  const writable = await open(disk('a'));
  await writable.blobs.write(digestOf(data), data, signal);
  await writable.close(signal);
  const store = await open({ kind: 'read-only', store: disk('a') });
  expect(await store.blobs.readWhole(digestOf(data), signal)).toHaveLength(100);
  const other = someBytes(100, 2);
  await expect(store.blobs.write(digestOf(other), other, signal)).rejects.toMatchObject({
    code: StatusCode.PERMISSION_DENIED,
  });
  await store.close(signal);
});

it('a close brings what waits to the slow store before that is closed', async () => {
  const data = someBytes(2_000_000);
  const store = await open({ kind: 'tiered', mode: 'write-back', fast: MEMORY, slow: disk('slow') });
  await store.blobs.write(digestOf(data), data, signal);
  await store.close(signal);
  const slow = await open(disk('slow'));
  expect(await slow.blobs.findMissing([digestOf(data)], signal)).toEqual([]);
  await slow.close(signal);
});

it('what was opened is closed again where a later part fails', async () => {
  await mkdir(join(folder, 'held'));
  const holder = await open(disk('held'));
  await expect(open({ kind: 'mirrored', mirrors: [disk('first'), disk('held')] })).rejects.toThrow('held');
  const first = await open(disk('first'));
  await first.close(signal);
  await holder.close(signal);
  expect(await readdir(folder)).toEqual(expect.arrayContaining(['first', 'held']));
});

it.each([
  ['a token', { tokenFile: '/nowhere/token' }],
  ['certificates', { endpoint: 'grpcs://127.0.0.1:1', tls: { authoritiesFile: '/nowhere/authorities' } }],
])('a file of %s that is not there is named', async (_what, parts) => {
  const remote = { kind: 'remote', endpoint: 'grpc://127.0.0.1:1', ...parts };
  await expect(open(remote)).rejects.toThrow('/nowhere/');
});
