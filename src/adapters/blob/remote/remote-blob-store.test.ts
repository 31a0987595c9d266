import { afterEach, describe, expect, test } from 'vitest';
import { DelayingProxy } from '../../../../test/support/delaying-proxy.ts';
import { type StorageServer, startStorageServer } from '../../../../test/support/storage-server.ts';
import { type Digest, digestOf } from '../../../domain/digest.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import { SystemClock } from '../../../lib/clock.ts';
import { RandomIdGenerator } from '../../../lib/ids.ts';
import { describeBlobStore, someBytes } from '../../../ports/blob-store.suite.ts';
import { parseEndpoint } from '../../grpc-client/endpoint.ts';
import { GrpcChannel } from '../../grpc-client/grpc-channel.ts';
import { Retrier } from '../../grpc-client/retrier.ts';
import { RemoteBlobStore } from './remote-blob-store.ts';

const signal = new AbortController().signal;
const cleanups: Array<() => Promise<void> | void> = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

function connect(port: number, flowControlWindow?: number): { store: RemoteBlobStore; channel: GrpcChannel } {
  const clock = new SystemClock();
  const channel = new GrpcChannel({
    endpoint: parseEndpoint(`127.0.0.1:${port}`),
    clock,
    ...(flowControlWindow === undefined ? {} : { flowControlWindow }),
  });
  const retrier = new Retrier({ clock, random: () => 0, backoff: { initial: 20 } });
  const store = new RemoteBlobStore({ channel, instanceName: 'main', retrier, ids: new RandomIdGenerator() });
  return { store, channel };
}

async function setUp(): Promise<{ store: RemoteBlobStore; server: StorageServer }> {
  const server = await startStorageServer();
  const { store, channel } = connect(server.port);
  cleanups.push(
    () => server.stop(),
    () => channel.close(),
  );
  return { store, server };
}

function methods(server: StorageServer): string[] {
  return server.calls.splice(0).map((path) => path.slice(path.lastIndexOf('/') + 1));
}

describeBlobStore(
  'RemoteBlobStore',
  async () => {
    const server = await startStorageServer();
    const { store, channel } = connect(server.port);
    return {
      store,
      dispose: async () => {
        channel.close();
        await server.stop();
      },
    };
  },
  { deletes: false },
);

describe('small blobs', () => {
  const blobs = Array.from({ length: 200 }, (_, i) => someBytes(100, i + 1));
  const digests = blobs.map((data) => digestOf(data));

  test('asked for at once share one call each way', async () => {
    const { store, server } = await setUp();
    await Promise.all(blobs.map((data, i) => store.write(digests[i] as Digest, data, signal)));
    await Promise.all(digests.map((digest) => store.readWhole(digest, signal)));
    expect(methods(server)).toEqual(['GetCapabilities', 'BatchUpdateBlobs', 'BatchReadBlobs']);
  });

  test('of one batch that are missing do not fail the others', async () => {
    const { store } = await setUp();
    await store.write(digests[0] as Digest, blobs[0] as Uint8Array, signal);
    const [found, missing] = await Promise.allSettled([
      store.readWhole(digests[0] as Digest, signal),
      store.readWhole(digests[1] as Digest, signal),
    ]);
    expect(found.status).toBe('fulfilled');
    expect(missing).toMatchObject({ status: 'rejected', reason: { code: StatusCode.NOT_FOUND } });
  });

  test('whose caller gives up do not fail the others', async () => {
    const { store } = await setUp();
    const controller = new AbortController();
    const left = store.write(digests[0] as Digest, blobs[0] as Uint8Array, controller.signal);
    const kept = store.write(digests[1] as Digest, blobs[1] as Uint8Array, signal);
    controller.abort('enough');
    await expect(left).rejects.toBe('enough');
    await kept;
    expect(await store.findMissing([digests[1] as Digest], signal)).toEqual([]);
  });

  test('go in several batches when they are too much for one', async () => {
    const { store, server } = await setUp();
    const large = Array.from({ length: 20 }, (_, i) => someBytes(400_000, i + 1));
    await Promise.all(large.map((data) => store.write(digestOf(data), data, signal)));
    expect(methods(server).filter((each) => each === 'BatchUpdateBlobs').length).toBeGreaterThanOrEqual(2);
  });
});

test('a lookup of very many digests goes in several calls', async () => {
  const { store, server } = await setUp();
  const many = Array.from({ length: 45_000 }, (_, i) => ({ ...digestOf(Buffer.from(`${i}`)) }));
  expect(await store.findMissing(many, signal)).toEqual(many);
  expect(methods(server)).toEqual(['FindMissingBlobs', 'FindMissingBlobs', 'FindMissingBlobs']);
});

describe('when the connection breaks', () => {
  const data = someBytes(12 << 20, 3);
  const digest = digestOf(data);

  async function throughProxy(server: StorageServer, flowControlWindow?: number) {
    const proxy = new DelayingProxy({ targetPort: server.port, delayMilliseconds: 0 });
    const port = await proxy.listen();
    const { store, channel } = connect(port, flowControlWindow);
    cleanups.push(
      () => proxy.close(),
      () => channel.close(),
    );
    return { proxy, store };
  }

  test('an upload of bytes in memory goes on where it was', async () => {
    const { server } = await setUp();
    const { proxy, store } = await throughProxy(server);
    const broken = proxy.untilPassed('up', 6 << 20).then(() => proxy.breakConnections());
    await store.write(digest, data, signal);
    await broken;
    expect(Buffer.from(await server.blobs.readWhole(digest, signal)).equals(data)).toBe(true);
    expect(methods(server)).toContain('QueryWriteStatus');
    expect(proxy.passed('up')).toBeLessThan(18 << 20);
  });

  test('an upload of what can be read again goes on where it was', async () => {
    const { server } = await setUp();
    const { proxy, store } = await throughProxy(server);
    const broken = proxy.untilPassed('up', 6 << 20).then(() => proxy.breakConnections());
    const opened: number[] = [];
    async function* from(offset: number) {
      opened.push(offset);
      for (let at = offset; at < data.byteLength; at += 1 << 20) yield data.subarray(at, at + (1 << 20));
    }
    await store.write(digest, { from, [Symbol.asyncIterator]: () => from(0) }, signal);
    await broken;
    expect(await server.blobs.findMissing([digest], signal)).toEqual([]);
    expect(opened).toEqual([0, expect.any(Number)]);
    expect(opened[1]).toBeGreaterThan(0);
  });

  test('a stream that passes by once fails with what broke it', async () => {
    const { server } = await setUp();
    const { proxy, store } = await throughProxy(server);
    const broken = proxy.untilPassed('up', 6 << 20).then(() => proxy.breakConnections());
    async function* source() {
      for (let at = 0; at < data.byteLength; at += 1 << 20) yield data.subarray(at, at + (1 << 20));
    }
    await expect(store.write(digest, source(), signal)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
    await broken;
    expect(await server.blobs.findMissing([digest], signal)).toEqual([digest]);
  });

  test('a download goes on where it was', async () => {
    const { server } = await setUp();
    await server.blobs.write(digest, data, signal);
    const { proxy, store } = await throughProxy(server, 1 << 20);
    const broken = proxy.untilPassed('down', 6 << 20).then(() => proxy.breakConnections());
    expect(Buffer.from(await store.readWhole(digest, signal)).equals(data)).toBe(true);
    await broken;
    expect(methods(server).filter((each) => each === 'Read')).toHaveLength(2);
  });

  test('small calls are made again', async () => {
    const { server } = await setUp();
    const { proxy, store } = await throughProxy(server);
    const small = someBytes(10, 4);
    await store.findMissing([digestOf(small)], signal);
    proxy.breakConnections();
    await store.write(digestOf(small), small, signal);
    expect(await store.findMissing([digestOf(small)], signal)).toEqual([]);
  });
});
