import type { LogStreamClient } from '../../ports/log-stream-client.ts';
import { FastByteStreamService } from '../../wire/byte-stream-codec.ts';
import type { GrpcChannel } from '../grpc-client/grpc-channel.ts';

/** How long a server may take for one write, in milliseconds. */
const WRITE_DEADLINE_MS = 30_000;

/** Log streams of a server that is reached by gRPC. */
export class GrpcLogStreamClient implements LogStreamClient {
  readonly #channel: Pick<GrpcChannel, 'unary' | 'clientStream'>;

  constructor(channel: Pick<GrpcChannel, 'unary' | 'clientStream'>) {
    this.#channel = channel;
  }

  async committedSize(resourceName: string, timeoutMilliseconds: number, signal: AbortSignal): Promise<number> {
    const options = { deadlineMilliseconds: timeoutMilliseconds };
    const method = FastByteStreamService.queryWriteStatus;
    const { committedSize } = await this.#channel.unary(method, { resourceName }, options, signal);
    return Number(committedSize);
  }

  /** One call for each write: any replica takes the next, and none that drains is held up. */
  async write(
    resourceName: string,
    offset: number,
    data: Uint8Array,
    finishWrite: boolean,
    signal: AbortSignal,
  ): Promise<number> {
    const request = {
      resourceName,
      writeOffset: BigInt(offset),
      finishWrite,
      data: Buffer.from(data.buffer, data.byteOffset, data.byteLength),
    };
    const requests = (async function* () {
      yield request;
    })();
    const options = { deadlineMilliseconds: WRITE_DEADLINE_MS };
    const { committedSize } = await this.#channel.clientStream(FastByteStreamService.write, requests, options, signal);
    return Number(committedSize);
  }
}
