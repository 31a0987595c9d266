import { type Digest, digestKey } from '../../../domain/digest.ts';
import type { DigestFunction } from '../../../domain/digest-function.ts';
import { verifyBlob } from '../../../domain/digest-verifier.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { StatusError } from '../../../domain/status-error.ts';
import { type Gathered, GatheringQueue } from '../../../lib/gathering-queue.ts';
import {
  Compressor_Value,
  ContentAddressableStorageService,
} from '../../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { Status } from '../../../proto/google/rpc/status.ts';
import { digestFunctionToWire, digestToWire } from '../../../wire/digest.ts';
import { statusFromWire } from '../../../wire/status.ts';
import type { GrpcChannel } from '../../grpc-client/grpc-channel.ts';
import { isRetryable, type Retrier } from '../../grpc-client/retrier.ts';
import type { ServerLimits } from './server-limits.ts';

/** What a blob of a batch takes beside its bytes: hash, size, status and tags. */
const ENTRY_OVERHEAD_BYTES = 160;
const MAX_BATCH_BLOBS = 10_000;
const MAX_CONCURRENT_BATCHES = 4;

interface Upload {
  readonly digest: Digest;
  readonly data: Uint8Array;
}

/** Small blobs, moved many at a time: BatchUpdateBlobs and BatchReadBlobs. Failures that may pass are tried again. */
export class BatchTransfers {
  readonly #channel: GrpcChannel;
  readonly #instanceName: string;
  readonly #retrier: Retrier;
  readonly #uploads: GatheringQueue<Upload, void>;
  readonly #downloads: GatheringQueue<Digest, Uint8Array>;

  constructor(channel: GrpcChannel, instanceName: string, retrier: Retrier, limits: ServerLimits) {
    this.#channel = channel;
    this.#instanceName = instanceName;
    this.#retrier = retrier;
    const common = {
      maxWeight: (signal: AbortSignal) => limits.maxBatchBytes(signal),
      maxCount: MAX_BATCH_BLOBS,
      maxConcurrent: MAX_CONCURRENT_BATCHES,
    };
    this.#uploads = new GatheringQueue<Upload, void>({
      ...common,
      weigh: ({ digest }) => digest.sizeBytes + ENTRY_OVERHEAD_BYTES,
      process: (group, signal) => this.#each(group, ({ digest }) => digest, this.#update, signal),
    });
    this.#downloads = new GatheringQueue<Digest, Uint8Array>({
      ...common,
      weigh: (digest) => digest.sizeBytes + ENTRY_OVERHEAD_BYTES,
      process: (group, signal) => this.#each(group, (digest) => digest, this.#read, signal),
    });
  }

  /** @throws what the server says of this blob. */
  upload(digest: Digest, data: Uint8Array, signal: AbortSignal): Promise<void> {
    return this.#uploads.add({ digest, data }, signal);
  }

  /** @throws NOT_FOUND; DATA_LOSS when what came is not what the digest names. */
  download(digest: Digest, signal: AbortSignal): Promise<Uint8Array> {
    return this.#downloads.add(digest, signal);
  }

  /** Settles every item of a group, trying again those that failed for a reason that may pass. */
  async #each<Item, Result>(
    group: ReadonlyArray<Gathered<Item, Result>>,
    digestOfItem: (item: Item) => Digest,
    send: (items: readonly Item[], digestFunction: DigestFunction, signal: AbortSignal) => Promise<Map<string, Answer>>,
    signal: AbortSignal,
  ): Promise<void> {
    let rest = group;
    await this.#retrier.run(async (attempt) => {
      const again: Array<Gathered<Item, Result>> = [];
      let failure: StatusError | undefined;
      for (const { digestFunction, items } of waves(rest, digestOfItem)) {
        const answers = await send(
          items.map(({ item }) => item),
          digestFunction,
          signal,
        );
        for (const each of items) {
          const digest = digestOfItem(each.item);
          try {
            each.resolve(resultOf(digest, answers.get(digestKey(digest))) as Result);
          } catch (thrown) {
            if (isRetryable(thrown)) {
              failure ??= thrown;
              again.push(each);
            } else {
              each.reject(thrown);
            }
          }
        }
      }
      if (again.length < rest.length) attempt.madeProgress();
      rest = again;
      if (failure !== undefined) throw failure;
    }, signal);
  }

  readonly #update = async (items: readonly Upload[], digestFunction: DigestFunction, signal: AbortSignal) => {
    const { responses } = await this.#channel.unary(
      ContentAddressableStorageService.batchUpdateBlobs,
      {
        instanceName: this.#instanceName,
        requests: items.map(({ digest, data }) => ({
          digest: digestToWire(digest),
          data: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
          compressor: Compressor_Value.IDENTITY,
        })),
        digestFunction: digestFunctionToWire(digestFunction),
      },
      {},
      signal,
    );
    return byDigest(responses, digestFunction);
  };

  readonly #read = async (digests: readonly Digest[], digestFunction: DigestFunction, signal: AbortSignal) => {
    const { responses } = await this.#channel.unary(
      ContentAddressableStorageService.batchReadBlobs,
      {
        instanceName: this.#instanceName,
        digests: digests.map(digestToWire),
        acceptableCompressors: [],
        digestFunction: digestFunctionToWire(digestFunction),
      },
      {},
      signal,
    );
    return byDigest(responses, digestFunction);
  };
}

/** The server's word on one blob. */
interface Answer {
  readonly status?: Status | undefined;
  readonly data?: Uint8Array;
  readonly compressor?: number;
}

/** A request names each digest once and has one digest function: what does not fit goes in a further wave. */
function waves<Item, Result>(
  group: ReadonlyArray<Gathered<Item, Result>>,
  digestOfItem: (item: Item) => Digest,
): Array<{ readonly digestFunction: DigestFunction; readonly items: Array<Gathered<Item, Result>> }> {
  const made: Array<{ keys: Set<string>; digestFunction: DigestFunction; items: Array<Gathered<Item, Result>> }> = [];
  for (const each of group) {
    const digest = digestOfItem(each.item);
    const key = digestKey(digest);
    const { digestFunction } = digest;
    let wave = made.find((candidate) => candidate.digestFunction === digestFunction && !candidate.keys.has(key));
    if (wave === undefined) {
      wave = { keys: new Set(), digestFunction, items: [] };
      made.push(wave);
    }
    wave.keys.add(key);
    wave.items.push(each);
  }
  return made;
}

function byDigest(
  responses: ReadonlyArray<Answer & { digest?: { hash: string; sizeBytes: bigint } | undefined }>,
  digestFunction: DigestFunction,
): Map<string, Answer> {
  const answers = new Map<string, Answer>();
  for (const response of responses) {
    if (response.digest === undefined) continue;
    const { hash, sizeBytes } = response.digest;
    answers.set(digestKey({ digestFunction, hash, sizeBytes: Number(sizeBytes) }), response);
  }
  return answers;
}

function resultOf(digest: Digest, answer: Answer | undefined): Uint8Array | undefined {
  if (answer === undefined) throw new StatusError(StatusCode.INTERNAL, `the server left out blob ${digest.hash}`);
  if (answer.status !== undefined && answer.status.code !== StatusCode.OK) throw statusFromWire(answer.status);
  if (answer.data === undefined) return undefined;
  if (answer.compressor !== Compressor_Value.IDENTITY) {
    throw new StatusError(StatusCode.INTERNAL, `the server compressed blob ${digest.hash} without being asked`);
  }
  return checkDownloaded(digest, answer.data);
}

/** The bytes, if they are what the digest names. @throws DATA_LOSS. */
function checkDownloaded(digest: Digest, data: Uint8Array): Uint8Array {
  try {
    verifyBlob(digest, data);
    return data;
  } catch (cause) {
    throw damaged(digest, cause);
  }
}

/** DATA_LOSS: the server sent something else than the digest names. */
export function damaged(digest: Digest, cause?: unknown): StatusError {
  const message = `what the server sent for blob ${digest.hash} of ${digest.sizeBytes} bytes is something else`;
  return new StatusError(StatusCode.DATA_LOSS, message, { cause });
}
