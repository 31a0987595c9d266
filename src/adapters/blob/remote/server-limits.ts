import { StatusCode } from '../../../domain/status-code.ts';
import { StatusError } from '../../../domain/status-error.ts';
import { raceSignal } from '../../../lib/abort.ts';
import { CapabilitiesService } from '../../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { GrpcChannel } from '../../grpc-client/grpc-channel.ts';
import type { Retrier } from '../../grpc-client/retrier.ts';

/** What a client sends at most in one batch where the server states no limit: what fits any gRPC message. */
const LARGEST_BATCH_BYTES = 4 * 1024 * 1024 - 64 * 1024;

/** What the server says of itself, asked once and then remembered. */
export class ServerLimits {
  readonly #channel: GrpcChannel;
  readonly #retrier: Retrier;
  readonly #instanceName: string;
  #maxBatchBytes: Promise<number> | undefined;

  constructor(channel: GrpcChannel, instanceName: string, retrier: Retrier) {
    this.#channel = channel;
    this.#instanceName = instanceName;
    this.#retrier = retrier;
  }

  /** The greatest total size of one batch in bytes. Servers without Capabilities get the usual one. */
  maxBatchBytes(signal: AbortSignal): Promise<number> {
    if (this.#maxBatchBytes === undefined) {
      const asked = this.#ask();
      this.#maxBatchBytes = asked;
      asked.catch(() => {
        this.#maxBatchBytes = undefined;
      });
    }
    return raceSignal(this.#maxBatchBytes, signal);
  }

  /** Asks for all who wait: that one of them gives up does not end it. */
  async #ask(): Promise<number> {
    const { signal } = new AbortController();
    try {
      const request = { instanceName: this.#instanceName };
      const { cacheCapabilities } = await this.#retrier.run(
        () =>
          this.#channel.unary(CapabilitiesService.getCapabilities, request, { deadlineMilliseconds: 10_000 }, signal),
        signal,
      );
      const stated = Number(cacheCapabilities?.maxBatchTotalSizeBytes ?? 0n);
      return stated <= 0 ? LARGEST_BATCH_BYTES : Math.min(stated, LARGEST_BATCH_BYTES);
    } catch (thrown) {
      if (thrown instanceof StatusError && thrown.code === StatusCode.UNIMPLEMENTED) return LARGEST_BATCH_BYTES;
      throw thrown;
    }
  }
}
