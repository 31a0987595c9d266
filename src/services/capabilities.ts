import type { Compressor } from '../domain/compressor.ts';
import { DIGEST_FUNCTIONS } from '../domain/digest-function.ts';
import type { CallContext } from '../ports/call-context.ts';
import {
  type CacheCapabilities,
  DigestFunction_Value,
  type ExecutionCapabilities,
  type GetCapabilitiesRequest,
  type ServerCapabilities,
  SymlinkAbsolutePathStrategy_Value,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { SemVer } from '../proto/build/bazel/semver/semver.ts';
import { compressorToWire } from '../wire/compressor.ts';
import { digestFunctionToWire } from '../wire/digest.ts';
import { DEFAULT_MAX_BATCH_TOTAL_BYTES } from './batch-limits.ts';
import { FAST_CDC_2020, REP_MAX_CDC } from './blob-chunks.ts';
import type { Instance, Instances } from './instances.ts';

/** A range of priorities, ends included; the lowest number is the most urgent. */
export interface PriorityRange {
  readonly lowest: number;
  readonly highest: number;
}

/** What is served beside what an instance itself tells. Must be what the services were made with. */
export interface CapabilitiesOptions {
  /** Whether clients reach ContentAddressableStorage and ActionCache at this endpoint. Defaults to true. */
  readonly cacheServed?: boolean;
  /** Whether they reach Execution, for instances that have it. Defaults to true. */
  readonly executionServed?: boolean;
  /** As ContentAddressableStorage has it. */
  readonly maxBatchTotalBytes?: number;
  /** As ContentAddressableStorage and ByteStream have it; 0 for no limit. */
  readonly maxBlobSizeBytes?: number;
  /** Formats of ByteStream and of batches beside plain bytes, as those services have them. Defaults to none. */
  readonly compressors?: readonly Compressor[];
  /** Priorities of execution that make a difference. Bazel sends none that is not advertised. Defaults to none. */
  readonly executionPriorities?: PriorityRange;
  /** NodeProperties that workers keep, by their names in the protocol. Defaults to none. */
  readonly nodeProperties?: readonly string[];
  /** Whether workers take symlinks with absolute targets. Defaults to true. */
  readonly absoluteSymlinksAllowed?: boolean;
}

/** The oldest and the newest version of the protocol that is spoken. */
const LOW_API_VERSION: SemVer = { major: 2, minor: 0, patch: 0, prerelease: '' };
const HIGH_API_VERSION: SemVer = { major: 2, minor: 12, patch: 0, prerelease: '' };

/** The service Capabilities: what this server really does, and nothing else. */
export class Capabilities {
  readonly #instances: Instances;
  readonly #options: CapabilitiesOptions;

  constructor(instances: Instances, options: CapabilitiesOptions = {}) {
    this.#instances = instances;
    this.#options = options;
  }

  /** @throws INVALID_ARGUMENT when the instance is not served. */
  async getCapabilities(request: GetCapabilitiesRequest, _context: CallContext): Promise<ServerCapabilities> {
    const { cacheServed = true, executionServed = true } = this.#options;
    const instance = this.#instances.get(request.instanceName);
    return {
      cacheCapabilities: cacheServed ? this.#cache(instance) : undefined,
      executionCapabilities: executionServed ? this.#execution(instance) : undefined,
      deprecatedApiVersion: undefined,
      lowApiVersion: LOW_API_VERSION,
      highApiVersion: HIGH_API_VERSION,
    };
  }

  #cache({ actionCacheUpdateEnabled }: Instance): CacheCapabilities {
    const { maxBatchTotalBytes = DEFAULT_MAX_BATCH_TOTAL_BYTES, maxBlobSizeBytes = 0 } = this.#options;
    const compressors = (this.#options.compressors ?? []).map(compressorToWire);
    const { ALLOWED, DISALLOWED } = SymlinkAbsolutePathStrategy_Value;
    return {
      digestFunctions: DIGEST_FUNCTIONS.map(digestFunctionToWire),
      actionCacheUpdateCapabilities: { updateEnabled: actionCacheUpdateEnabled },
      // Eviction goes by last use alone: no priority of results makes a difference.
      cachePriorityCapabilities: { priorities: [{ minPriority: 0, maxPriority: 0 }] },
      maxBatchTotalSizeBytes: BigInt(maxBatchTotalBytes),
      symlinkAbsolutePathStrategy: (this.#options.absoluteSymlinksAllowed ?? true) ? ALLOWED : DISALLOWED,
      supportedCompressors: compressors,
      supportedBatchUpdateCompressors: compressors,
      maxCasBlobSizeBytes: BigInt(maxBlobSizeBytes),
      splitBlobSupport: true,
      spliceBlobSupport: true,
      fastCdc2020Params: { avgChunkSizeBytes: BigInt(FAST_CDC_2020.averageBytes), seed: FAST_CDC_2020.seed },
      repMaxCdcParams: {
        minChunkSizeBytes: BigInt(REP_MAX_CDC.minimumBytes),
        horizonSizeBytes: BigInt(REP_MAX_CDC.horizonBytes),
      },
    };
  }

  #execution({ executionEnabled }: Instance): ExecutionCapabilities {
    const { lowest, highest } = this.#options.executionPriorities ?? { lowest: 0, highest: 0 };
    return {
      digestFunction: DigestFunction_Value.SHA256,
      execEnabled: executionEnabled,
      executionPriorityCapabilities: { priorities: [{ minPriority: lowest, maxPriority: highest }] },
      supportedNodeProperties: [...(this.#options.nodeProperties ?? [])],
      digestFunctions: DIGEST_FUNCTIONS.map(digestFunctionToWire),
    };
  }
}
