import { describe, expect, test } from 'vitest';
import { callContext } from '../../test/support/call-context.ts';
import { testInstance } from '../../test/support/instance.ts';
import { MapBlobStore } from '../../test/support/map-blob-store.ts';
import { ServerCapabilities } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { Capabilities, type CapabilitiesOptions } from './capabilities.ts';
import { Instances } from './instances.ts';

const blobs = new MapBlobStore();
const instances = new Instances([
  testInstance(blobs),
  testInstance(blobs, { name: 'cache', executionEnabled: false, actionCacheUpdateEnabled: false }),
]);
const ask = (instanceName: string, options: CapabilitiesOptions = {}) =>
  new Capabilities(instances, options).getCapabilities({ instanceName }, callContext());

test('the versions of the protocol overlap those of every client since 2.0', async () => {
  const { lowApiVersion, highApiVersion } = await ask('main');
  expect([lowApiVersion?.major, lowApiVersion?.minor]).toEqual([2, 0]);
  expect([highApiVersion?.major, highApiVersion?.minor]).toEqual([2, 12]);
});

test('what an instance may is told for that instance', async () => {
  const main = await ask('main');
  expect(main.executionCapabilities?.execEnabled).toBe(true);
  expect(main.cacheCapabilities?.actionCacheUpdateCapabilities?.updateEnabled).toBe(true);
  const cache = await ask('cache');
  expect(cache.executionCapabilities?.execEnabled).toBe(false);
  expect(cache.cacheCapabilities?.actionCacheUpdateCapabilities?.updateEnabled).toBe(false);
});

test('limits are those of the services', async () => {
  const { cacheCapabilities } = await ask('main', { maxBatchTotalBytes: 1_000, maxBlobSizeBytes: 2_000 });
  expect(cacheCapabilities).toMatchObject({ maxBatchTotalSizeBytes: 1_000n, maxCasBlobSizeBytes: 2_000n });
  expect((await ask('main')).cacheCapabilities).toMatchObject({
    maxBatchTotalSizeBytes: 4_128_768n,
    maxCasBlobSizeBytes: 0n,
  });
});

test('nothing is told that is not served', async () => {
  const { cacheCapabilities, executionCapabilities } = await ask('main');
  expect(cacheCapabilities).toMatchObject({
    supportedCompressors: [],
    supportedBatchUpdateCompressors: [],
    repMaxCdcParams: { minChunkSizeBytes: 262_144n, horizonSizeBytes: 2_097_152n },
  });
  expect(executionCapabilities?.supportedNodeProperties).toEqual([]);
});

test('formats, priorities and node properties are told where they are served', async () => {
  const { cacheCapabilities, executionCapabilities } = await ask('main', {
    compressors: ['zstd', 'deflate'],
    executionPriorities: { lowest: -10, highest: 5 },
    nodeProperties: ['mtime', 'unix_mode'],
    absoluteSymlinksAllowed: false,
  });
  expect(cacheCapabilities?.supportedCompressors).toEqual([1, 2]);
  expect(cacheCapabilities?.supportedBatchUpdateCompressors).toEqual([1, 2]);
  expect(cacheCapabilities?.symlinkAbsolutePathStrategy).toBe(1);
  expect(executionCapabilities?.executionPriorityCapabilities?.priorities).toEqual([
    { minPriority: -10, maxPriority: 5 },
  ]);
  expect(executionCapabilities?.supportedNodeProperties).toEqual(['mtime', 'unix_mode']);
});

describe('an endpoint with a part of the services', () => {
  test('tells of that part alone', async () => {
    expect((await ask('main', { executionServed: false })).executionCapabilities).toBeUndefined();
    expect((await ask('main', { cacheServed: false })).cacheCapabilities).toBeUndefined();
  });
});

test('the digest function of older clients is among those offered', async () => {
  const { executionCapabilities } = await ask('main');
  expect(executionCapabilities?.digestFunction).toBe(1);
  expect(executionCapabilities?.digestFunctions).toContain(1);
});

test('the answer can be encoded', async () => {
  const answer = await ask('main');
  expect(ServerCapabilities.decode(ServerCapabilities.encode(answer).finish())).toEqual(answer);
});

test('an instance that is not served is refused', async () => {
  await expect(ask('other')).rejects.toThrow('instance_name');
});

test('blobs are split as the protocol recommends it', async () => {
  const { cacheCapabilities } = await ask('main', { compressors: [] });
  expect(cacheCapabilities).toMatchObject({
    splitBlobSupport: true,
    spliceBlobSupport: true,
    fastCdc2020Params: { avgChunkSizeBytes: 524_288n, seed: 0 },
    repMaxCdcParams: { minChunkSizeBytes: 262_144n, horizonSizeBytes: 2_097_152n },
  });
});
