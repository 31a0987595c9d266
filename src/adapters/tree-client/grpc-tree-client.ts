import type { Digest } from '../../domain/digest.ts';
import type { TreeClient } from '../../ports/tree-client.ts';
import {
  ContentAddressableStorageService,
  Directory,
} from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFunctionToWire, digestToWire } from '../../wire/digest.ts';
import type { GrpcChannel } from '../grpc-client/grpc-channel.ts';

/** Trees by GetTree of a server that speaks the Remote Execution API. */
export class GrpcTreeClient implements TreeClient {
  readonly #channel: Pick<GrpcChannel, 'serverStream'>;
  readonly #instanceName: string;

  constructor(channel: Pick<GrpcChannel, 'serverStream'>, instanceName: string) {
    this.#channel = channel;
    this.#instanceName = instanceName;
  }

  async *readTree(rootDigest: Digest, signal: AbortSignal): AsyncIterable<Uint8Array> {
    let pageToken = '';
    do {
      const request = {
        instanceName: this.#instanceName,
        rootDigest: digestToWire(rootDigest),
        pageSize: 0,
        pageToken,
        digestFunction: digestFunctionToWire(rootDigest.digestFunction),
      };
      pageToken = '';
      for await (const response of this.#channel.serverStream(
        ContentAddressableStorageService.getTree,
        request,
        {},
        signal,
      )) {
        // Servers send the pages that follow in the same call, or wait to be asked for each: the last one tells.
        pageToken = response.nextPageToken;
        for (const directory of response.directories) yield Directory.encode(directory).finish();
      }
    } while (pageToken !== '');
  }
}
