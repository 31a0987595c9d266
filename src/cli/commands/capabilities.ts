import type { Command } from 'commander';
import { formatByteSize } from '../../lib/byte-size.ts';
import {
  type CacheCapabilities,
  CapabilitiesService,
  Compressor_Value,
  DigestFunction_Value,
  type PriorityCapabilities,
  type ServerCapabilities,
  SymlinkAbsolutePathStrategy_Value,
} from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { SemVer } from '../../proto/build/bazel/semver/semver.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { enumName } from '../present/values.ts';
import { fieldLines, printJson, printLines } from '../printing.ts';
import { addRemoteOptions, type RemoteOptions, withRemote } from '../remote.ts';

/** `warren capabilities`: what the server says that it can do. */
export function configureCapabilities(command: Command, context: CommandContext): void {
  addRemoteOptions(command).action(async (options: RemoteOptions) => {
    const capabilities = await withRemote(options, context, ({ channel, instanceName, retrier }, signal) =>
      retrier.run(() => channel.unary(CapabilitiesService.getCapabilities, { instanceName }, {}, signal), signal),
    );
    const presented = present(capabilities);
    if (options.json === true) printJson(context.stdout, presented);
    else printLines(context.stdout, linesOf(presented));
  });
  addExample(command, 'warren capabilities --remote grpc://127.0.0.1:50051');
}

function present({ cacheCapabilities: cache, executionCapabilities: execution, ...server }: ServerCapabilities) {
  const compressors = (values: readonly number[]) => values.map((each) => enumName(Compressor_Value, each));
  const functions = (values: readonly number[]) => values.map((each) => enumName(DigestFunction_Value, each));
  return {
    lowApiVersion: version(server.lowApiVersion),
    highApiVersion: version(server.highApiVersion),
    cache:
      cache === undefined
        ? undefined
        : {
            digestFunctions: functions(cache.digestFunctions),
            actionCacheUpdate: cache.actionCacheUpdateCapabilities?.updateEnabled ?? false,
            maxBatchTotalSizeBytes: Number(cache.maxBatchTotalSizeBytes),
            maxBlobSizeBytes: Number(cache.maxCasBlobSizeBytes),
            compressors: compressors(cache.supportedCompressors),
            batchUpdateCompressors: compressors(cache.supportedBatchUpdateCompressors),
            absoluteSymlinks: enumName(SymlinkAbsolutePathStrategy_Value, cache.symlinkAbsolutePathStrategy),
            priorities: priorities(cache.cachePriorityCapabilities),
            splitBlob: cache.splitBlobSupport,
            spliceBlob: cache.spliceBlobSupport,
            chunking: chunking(cache),
          },
    execution:
      execution === undefined
        ? undefined
        : {
            enabled: execution.execEnabled,
            digestFunctions: functions(
              execution.digestFunctions.length === 0 ? [execution.digestFunction] : execution.digestFunctions,
            ),
            priorities: priorities(execution.executionPriorityCapabilities),
            nodeProperties: execution.supportedNodeProperties,
          },
  };
}

/** The chunking functions with their parameters, in bytes; those that are not served are left out. */
function chunking({ fastCdc2020Params: fast, repMaxCdcParams: repMax }: CacheCapabilities) {
  return {
    fastCdc2020: fast && { averageBytes: Number(fast.avgChunkSizeBytes), seed: fast.seed },
    repMaxCdc: repMax && {
      minimumBytes: Number(repMax.minChunkSizeBytes),
      horizonBytes: Number(repMax.horizonSizeBytes),
    },
  };
}

function chunkingText({ fastCdc2020: fast, repMaxCdc: repMax }: ReturnType<typeof chunking>): string {
  return [
    ...(fast === undefined ? [] : [`FastCDC 2020 (average ${formatByteSize(fast.averageBytes)})`]),
    ...(repMax === undefined ? [] : [`RepMaxCDC (at least ${formatByteSize(repMax.minimumBytes)})`]),
  ].join(', ');
}

function version(semVer: SemVer | undefined): string | undefined {
  if (semVer === undefined) return undefined;
  const { major, minor, patch, prerelease } = semVer;
  return `${major}.${minor}${patch === 0 ? '' : `.${patch}`}${prerelease === '' ? '' : `-${prerelease}`}`;
}

function priorities(capabilities: PriorityCapabilities | undefined): Array<{ min: number; max: number }> {
  return (capabilities?.priorities ?? []).map(({ minPriority, maxPriority }) => ({
    min: minPriority,
    max: maxPriority,
  }));
}

function linesOf({ lowApiVersion, highApiVersion, cache, execution }: ReturnType<typeof present>): string[] {
  const limit = (bytes: number) => (bytes === 0 ? 'no limit' : formatByteSize(bytes));
  const ranges = (values: ReadonlyArray<{ min: number; max: number }>) =>
    values.map(({ min, max }) => (min === max ? String(min) : `${min} to ${max}`)).join(', ');
  return fieldLines([
    ['API', `${lowApiVersion ?? '?'} to ${highApiVersion ?? '?'}`],
    ['execution', execution?.enabled === true ? 'yes' : 'no'],
    ['priorities', execution === undefined ? undefined : ranges(execution.priorities)],
    ['cache', cache === undefined ? 'no' : 'yes'],
    ['digest functions', (cache ?? execution)?.digestFunctions.join(', ')],
    ['results from clients', cache === undefined ? undefined : cache.actionCacheUpdate ? 'taken' : 'refused'],
    ['largest batch', cache === undefined ? undefined : limit(cache.maxBatchTotalSizeBytes)],
    ['largest blob', cache === undefined ? undefined : limit(cache.maxBlobSizeBytes)],
    ['compression', cache?.compressors.join(', ')],
    ['chunking', cache === undefined ? undefined : chunkingText(cache.chunking)],
    ['absolute symlinks', cache?.absoluteSymlinks.toLowerCase()],
  ]);
}
