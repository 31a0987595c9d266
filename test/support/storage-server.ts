import { MemoryActionCacheStore } from '../../src/adapters/action-cache/memory/memory-action-cache-store.ts';
import { MemoryBlobStore } from '../../src/adapters/blob/memory/memory-blob-store.ts';
import { ResumableUploads } from '../../src/adapters/upload/resumable-uploads.ts';
import { SystemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import {
  ActionCacheService,
  CapabilitiesService,
  ContentAddressableStorageService,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { RpcServer } from '../../src/server/rpc-server.ts';
import { ActionCache } from '../../src/services/action-cache.ts';
import { CompletenessCheckingActionResults } from '../../src/services/action-results.ts';
import { ByteStream } from '../../src/services/byte-stream.ts';
import { Capabilities } from '../../src/services/capabilities.ts';
import { ContentAddressableStorage } from '../../src/services/content-addressable-storage.ts';
import { Instances } from '../../src/services/instances.ts';
import { FastByteStreamService } from '../../src/wire/byte-stream-codec.ts';

export interface StorageServer {
  readonly port: number;
  /** Every call so far, by path. */
  readonly calls: string[];
  /** What the server stores. */
  readonly blobs: MemoryBlobStore;
  stop(): Promise<void>;
}

/** Our own storage services on a free port, over memory, with instance `main`: what the remote adapters are tested with. */
export async function startStorageServer(port = 0): Promise<StorageServer> {
  const clock = new SystemClock();
  const blobs = new MemoryBlobStore(64 * 1024 * 1024);
  const uploads = new ResumableUploads(blobs, clock, { expiryMilliseconds: 60_000, maximumPartialBytes: 1 << 25 });
  const actionResults = new CompletenessCheckingActionResults(new MemoryActionCacheStore(1 << 20), blobs, silentLogger);
  const instances = new Instances([
    {
      name: 'main',
      blobs,
      pins: blobs,
      uploads,
      actionResults,
      actionCacheUpdateEnabled: true,
      cacheFailedActions: false,
      executionEnabled: false,
    },
  ]);
  const calls: string[] = [];
  const server = new RpcServer(
    {
      address: `127.0.0.1:${port}`,
      maxReceiveMessageBytes: 8 << 20,
      flowControl: { streamWindowBytes: 4 << 20, connectionWindowBytes: 8 << 20 },
      keepaliveTimeMilliseconds: 60_000,
      keepaliveTimeoutMilliseconds: 20_000,
      retryDelayMilliseconds: 20,
    },
    clock,
    silentLogger,
    {
      callStarted: (path) => {
        calls.push(path);
        return () => {};
      },
    },
  );
  server.register(CapabilitiesService, new Capabilities(instances));
  server.register(ContentAddressableStorageService, new ContentAddressableStorage(instances, silentLogger));
  server.register(FastByteStreamService, new ByteStream(instances));
  server.register(ActionCacheService, new ActionCache(instances));
  await server.start(new AbortController().signal);
  return { port: server.port, calls, blobs, stop: () => server.stop(AbortSignal.abort()) };
}
