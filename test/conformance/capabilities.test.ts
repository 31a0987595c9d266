import { randomUUID } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  CapabilitiesService,
  Compressor_Value,
  DigestFunction_Value,
  GetCapabilitiesRequest,
  type ServerCapabilities,
  SymlinkAbsolutePathStrategy_Value,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { failure } from '../support/wire-client.ts';
import { choice, connect } from './target.ts';

const tenant = connect();

function capabilities(instanceName = tenant.instanceName): Promise<ServerCapabilities> {
  return tenant.client.unary(CapabilitiesService.getCapabilities, GetCapabilitiesRequest.create({ instanceName }));
}

describe('Capabilities.GetCapabilities', () => {
  it('an endpoint with execution, storage and action cache gives the capabilities of all', async () => {
    const { cacheCapabilities, executionCapabilities } = await capabilities();
    expect(cacheCapabilities).toBeDefined();
    expect(executionCapabilities).toBeDefined();
    expect(executionCapabilities?.execEnabled).toBe(true);
  });

  it('low_api_version is not above high_api_version, and 2.0 clients are within', async () => {
    const { lowApiVersion, highApiVersion } = await capabilities();
    expect(lowApiVersion?.major).toBe(2);
    expect(highApiVersion?.major).toBe(2);
    expect(lowApiVersion?.minor).toBeLessThanOrEqual(highApiVersion?.minor ?? 0);
  });

  it('digest_functions are known ones and hold SHA256', async () => {
    const functions = (await capabilities()).cacheCapabilities?.digestFunctions ?? [];
    expect(functions).toContain(DigestFunction_Value.SHA256);
    expect(functions).not.toContain(DigestFunction_Value.UNKNOWN);
    expect(new Set(functions).size).toBe(functions.length);
  });

  it('ExecutionCapabilities.digest_function is set, and is among its digest_functions', async () => {
    const execution = (await capabilities()).executionCapabilities;
    expect(execution?.digestFunction).not.toBe(DigestFunction_Value.UNKNOWN);
    const functions = execution?.digestFunctions ?? [];
    if (functions.length > 0) expect(functions).toContain(execution?.digestFunction);
  });

  it('execution offers no digest function that storage lacks', async () => {
    const { cacheCapabilities, executionCapabilities } = await capabilities();
    for (const each of executionCapabilities?.digestFunctions ?? []) {
      expect(cacheCapabilities?.digestFunctions).toContain(each);
    }
  });

  it('every priority range has its minimum before its maximum', async () => {
    const { cacheCapabilities, executionCapabilities } = await capabilities();
    const ranges = [
      ...(cacheCapabilities?.cachePriorityCapabilities?.priorities ?? []),
      ...(executionCapabilities?.executionPriorityCapabilities?.priorities ?? []),
    ];
    for (const { minPriority, maxPriority } of ranges) expect(minPriority).toBeLessThanOrEqual(maxPriority);
  });

  it('a version is either numbers or a pre-release', async () => {
    const { deprecatedApiVersion, lowApiVersion, highApiVersion } = await capabilities();
    for (const each of [deprecatedApiVersion, lowApiVersion, highApiVersion]) {
      if (each === undefined) continue;
      const numbers = each.major + each.minor + each.patch;
      expect(numbers > 0).toBe(each.prerelease === '');
    }
  });

  it('chunking functions are advertised only where blobs are split or spliced, within their bounds', async () => {
    const cache = (await capabilities()).cacheCapabilities;
    const { fastCdc2020Params: fast, repMaxCdcParams: repMax } = cache ?? {};
    if (fast !== undefined || repMax !== undefined) {
      expect(cache?.splitBlobSupport === true || cache?.spliceBlobSupport === true).toBe(true);
    }
    if (fast !== undefined) {
      expect(fast.avgChunkSizeBytes).toBeGreaterThanOrEqual(1_024n);
      expect(fast.avgChunkSizeBytes).toBeLessThanOrEqual(1_024n * 1_024n);
    }
    if (repMax !== undefined) expect(repMax.minChunkSizeBytes).toBeGreaterThanOrEqual(64n);
  });

  it('a symlink with an absolute target is kept in a result where the strategy is ALLOWED', async (context) => {
    const cache = (await capabilities()).cacheCapabilities;
    const isAllowed = cache?.symlinkAbsolutePathStrategy === SymlinkAbsolutePathStrategy_Value.ALLOWED;
    if (!isAllowed || cache.actionCacheUpdateCapabilities?.updateEnabled !== true) context.skip();
    const { action } = await tenant.prepare();
    await tenant.updateActionResult(action.digest, { outputSymlinks: [{ path: 'link', target: '/usr/bin/env' }] });
    const result = await tenant.getActionResult(action.digest);
    expect(result.outputSymlinks.map(({ path, target }) => [path, target])).toEqual([['link', '/usr/bin/env']]);
  });

  it('symlink_absolute_path_strategy is stated', async () => {
    const strategy = (await capabilities()).cacheCapabilities?.symlinkAbsolutePathStrategy;
    expect(strategy).not.toBe(SymlinkAbsolutePathStrategy_Value.UNKNOWN);
  });

  it('action_cache_update_capabilities are stated', async () => {
    expect((await capabilities()).cacheCapabilities?.actionCacheUpdateCapabilities).toBeDefined();
  });

  it('limits are not negative', async () => {
    const cache = (await capabilities()).cacheCapabilities;
    expect(cache?.maxBatchTotalSizeBytes).toBeGreaterThanOrEqual(0n);
    expect(cache?.maxCasBlobSizeBytes).toBeGreaterThanOrEqual(0n);
  });

  it('supported compressors are known ones', async () => {
    const cache = (await capabilities()).cacheCapabilities;
    const known: readonly number[] = Object.values(Compressor_Value);
    for (const each of cache?.supportedCompressors ?? []) expect(known).toContain(each);
    for (const each of cache?.supportedBatchUpdateCompressors ?? []) expect(known).toContain(each);
  });

  choice('execution priorities on both sides of the default are advertised', async () => {
    const ranges = (await capabilities()).executionCapabilities?.executionPriorityCapabilities?.priorities ?? [];
    expect(ranges.some((each) => each.minPriority < 0 && each.maxPriority > 0)).toBe(true);
  });

  choice('the node properties that workers keep are advertised', async () => {
    const properties = (await capabilities()).executionCapabilities?.supportedNodeProperties;
    expect(properties).toEqual(['mtime', 'unix_mode']);
  });

  choice('a batch limit is stated, and fits a message of 4 MiB with room for digests', async () => {
    const limit = (await capabilities()).cacheCapabilities?.maxBatchTotalSizeBytes ?? 0n;
    expect(limit).toBeGreaterThan(0n);
    expect(limit).toBeLessThan(4n * 1024n * 1024n);
  });

  choice('the highest API version is at least 2.3', async () => {
    expect((await capabilities()).highApiVersion?.minor).toBeGreaterThanOrEqual(3);
  });

  choice('an instance that is not served gives INVALID_ARGUMENT that names the field', async () => {
    const error = await failure(capabilities(`no-such-${randomUUID()}`));
    expect(error.code).toBe('INVALID_ARGUMENT');
    expect(error.message).toContain('instance_name');
  });
});
