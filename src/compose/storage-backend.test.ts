import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { replicaSchema } from '../config/replica-configuration.ts';
import { digestOf } from '../domain/digest.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { RandomIdGenerator } from '../lib/ids.ts';
import { silentLogger } from '../lib/log.ts';
import { someBytes } from '../ports/blob-store.suite.ts';
import { ActionResult } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { Activity } from './activity.ts';
import { openStorageBackend, type StorageBackend } from './storage-backend.ts';

const signal = new AbortController().signal;
const dependencies = {
  clock: new FakeClock(),
  ids: new RandomIdGenerator(),
  logger: silentLogger,
  random: Math.random,
};
const data = someBytes(1_000);
const digest = digestOf(data);
let folder: string;
let storage: StorageBackend | undefined;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'warren-storage-'));
});
afterEach(async () => {
  await storage?.close(signal);
  storage = undefined;
  rmSync(folder, { recursive: true });
});

async function open(configuration: object): Promise<StorageBackend> {
  const observer = new Activity();
  storage = await openStorageBackend(replicaSchema.parse(configuration), dependencies, observer, signal);
  return storage;
}

const disk = (name: string) => ({ kind: 'disk', directory: join(folder, name), maximumSizeBytes: 8 * 2 ** 20 });
const memory = { kind: 'memory', maximumSizeBytes: 100_000 };

describe('the storage of instances', () => {
  test.each([
    ['a cache', { kind: 'memory' }, true],
    ['a read-only cache', { kind: 'read-only', store: { kind: 'memory' } }, false],
    [
      'a tiered cache whose slow one is read-only',
      { kind: 'tiered', fast: { kind: 'memory' }, slow: { kind: 'read-only', store: { kind: 'memory' } } },
      false,
    ],
    [
      'an expiring cache over one that keeps the first',
      { kind: 'expiring', maximumAgeSeconds: 1, store: { kind: 'write-once', store: { kind: 'memory' } } },
      true,
    ],
  ])('takes updates by clients into %s only where they are kept', async (_, actionCache, enabled) => {
    const { instances } = await open({ blobs: memory, actionCache });
    expect(instances.get('').actionCacheUpdateEnabled).toBe(enabled);
  });

  test('is shared by all that name none of their own', async () => {
    const { instances } = await open({
      instances: [{ name: 'one' }, { name: 'other' }],
      blobs: memory,
      actionCache: { kind: 'memory' },
    });
    await instances.get('one').blobs.write(digest, data, signal);
    expect(await instances.get('other').blobs.findMissing([digest], signal)).toEqual([]);
  });

  test('is apart where an instance names its own, with a limit of its own', async () => {
    const { instances, ...backend } = await open({
      instances: [{ name: 'shared' }, { name: 'apart', blobs: memory, actionCache: { kind: 'memory' } }],
      blobs: memory,
      actionCache: { kind: 'memory' },
    });
    const [shared, apart] = [instances.get('shared'), instances.get('apart')];
    await apart.blobs.write(digest, data, signal);
    const result = ActionResult.fromPartial({ stdoutDigest: { hash: digest.hash, sizeBytes: 1_000n } });
    await apart.actionResults.put('apart', digest, result, signal);
    expect(await shared.blobs.findMissing([digest], signal)).toEqual([digest]);
    for (let i = 0; i < 200; i++)
      await shared.blobs.write(digestOf(someBytes(1_000, i + 2)), someBytes(1_000, i + 2), signal);
    expect(await apart.blobs.findMissing([digest], signal)).toEqual([]);
    expect(await apart.actionResults.get('apart', digest, signal)).toBeDefined();
    expect(backend.maximumBytes).toBe(200_000);
    expect(backend.storedBytes()).toBeLessThanOrEqual(101_000);
  });

  test('names each store that can be looked after by its place in the configuration', async () => {
    const { maintained } = await open({
      instances: [{ name: 'shared' }, { name: 'apart', actionCache: disk('apart-results') }],
      blobs: {
        kind: 'tiered',
        fast: disk('fast'),
        slow: { kind: 'indexed', index: { kind: 'memory' }, store: memory },
      },
      actionCache: disk('results'),
    });
    expect(maintained.map(({ path }) => path)).toEqual([
      'blobs.fast',
      'blobs.slow',
      'actionCache',
      'instances[1].actionCache',
    ]);
  });

  test('gives everything free where one store cannot be opened', async () => {
    const locked = await open({ blobs: disk('blobs'), actionCache: disk('results') });
    const other = {
      instances: [{ name: 'apart', blobs: disk('other') }],
      blobs: memory,
      actionCache: disk('results'),
    };
    storage = undefined;
    await expect(open(other)).rejects.toThrow(/is in use/);
    await locked.close(signal);
    await open(other);
  });
});
