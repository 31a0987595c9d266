import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AT_ONCE } from '../../test/support/call-context.ts';
import { testInstance } from '../../test/support/instance.ts';
import { TestGrid } from '../../test/support/test-grid.ts';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { type Digest, digestOf } from '../domain/digest.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLogger } from '../lib/log.ts';
import { someBytes } from '../ports/blob-store.suite.ts';
import { Action, Command, Directory } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestToWire } from '../wire/digest.ts';
import { InputPins } from './input-pins.ts';

const signal = new AbortController().signal;
const ROOM = 64 * 1024;

/** An action with a file in its root and one in a folder below. */
async function prepare(blobs: MemoryBlobStore) {
  const upload = async (data: Uint8Array): Promise<Digest> => {
    const digest = digestOf(data);
    await blobs.write(digest, data, signal);
    return digest;
  };
  const node = (name: string, digest: Digest) => ({ name, digest: digestToWire(digest) });
  const files = [await upload(someBytes(1_000, 1)), await upload(someBytes(1_000, 2))] as const;
  const folder = await upload(Directory.encode(Directory.fromPartial({ files: [node('b', files[1])] })).finish());
  const root = await upload(
    Directory.encode(
      Directory.fromPartial({ files: [node('a', files[0])], directories: [node('d', folder)] }),
    ).finish(),
  );
  const command = await upload(Command.encode(Command.fromPartial({ arguments: ['true'] })).finish());
  const action = Action.fromPartial({ commandDigest: digestToWire(command), inputRootDigest: digestToWire(root) });
  const digest = await upload(Action.encode(action).finish());
  return { action, digest, own: [digest, command, root], tree: [...files, folder] };
}

let seed = 1_000;
/** Others use the store, until it has forgotten whatever is not pinned. */
async function churn(blobs: MemoryBlobStore): Promise<void> {
  for (let bytes = 0; bytes < 2 * ROOM; bytes += 4_096) {
    seed += 1;
    const data = someBytes(4_096, seed);
    await blobs.write(digestOf(data), data, signal);
  }
}

describe('InputPins', () => {
  const setup = async (maximumTreeBlobs?: number) => {
    const blobs = new MemoryBlobStore(ROOM);
    const clock = new FakeClock();
    const pins = new InputPins({
      clock,
      logger: silentLogger,
      ...(maximumTreeBlobs === undefined ? {} : { maximumTreeBlobs }),
    });
    return { blobs, clock, pins, instance: testInstance(blobs, { pins: blobs }), prepared: await prepare(blobs) };
  };

  test('Action, Command and root stay from the start, and go when nobody holds them', async () => {
    const { blobs, pins, instance, prepared } = await setup();
    const first = pins.hold(instance, prepared.digest, prepared.action);
    const second = pins.hold(instance, prepared.digest, prepared.action);
    await churn(blobs);
    expect(await blobs.findMissing([...prepared.own, ...prepared.tree], signal)).toEqual(prepared.tree);
    first[Symbol.dispose]();
    await churn(blobs);
    expect(await blobs.findMissing(prepared.own, signal)).toEqual([]);
    second[Symbol.dispose]();
    await churn(blobs);
    expect(await blobs.findMissing(prepared.own, signal)).toEqual(prepared.own);
  });

  test('the input tree stays once the job has lasted for a while', async () => {
    const { blobs, clock, pins, instance, prepared } = await setup();
    const hold = pins.hold(instance, prepared.digest, prepared.action);
    await clock.advance(20_000);
    await churn(blobs);
    expect(await blobs.findMissing([...prepared.own, ...prepared.tree], signal)).toEqual([]);
    hold[Symbol.dispose]();
    await churn(blobs);
    expect(await blobs.findMissing(prepared.tree, signal)).toEqual(prepared.tree);
  });

  test('a job that ends early is never read, and leaves nothing pinned', async () => {
    const { blobs, clock, pins, instance, prepared } = await setup();
    pins.hold(instance, prepared.digest, prepared.action)[Symbol.dispose]();
    await clock.advance(20_000);
    await churn(blobs);
    expect(await blobs.findMissing(prepared.own, signal)).toEqual(prepared.own);
  });

  test('trees beyond the limit are not pinned, until others are let go', async () => {
    const { blobs, clock, pins, instance, prepared } = await setup(3);
    const first = pins.hold(instance, prepared.digest, prepared.action);
    await clock.advance(20_000);
    const second = pins.hold(instance, prepared.digest, prepared.action);
    await clock.advance(20_000);
    first[Symbol.dispose]();
    const third = pins.hold(instance, prepared.digest, prepared.action);
    await clock.advance(20_000);
    second[Symbol.dispose]();
    await churn(blobs);
    expect(await blobs.findMissing(prepared.tree, signal)).toEqual([]);
    third[Symbol.dispose]();
  });
});

describe('Execute under eviction', () => {
  let grid: TestGrid;
  beforeEach(async () => {
    grid = await new TestGrid({ maximumBlobBytes: ROOM }).start();
  });
  afterEach(() => grid.stop());

  test('what a waiting job needs stays until it has ended, whoever waits for it', async () => {
    const { digest, own, tree } = await prepare(grid.blobs);
    const needed = [...own, ...tree];
    const client = grid.execute(digest);
    await grid.settle();
    await churn(grid.blobs);
    expect(await grid.blobs.findMissing(own, signal)).toEqual([]);
    // The client would ask for and upload its inputs again within the time that a store keeps them.
    await prepare(grid.blobs);
    await grid.clock.advance(20_000);
    await churn(grid.blobs);
    expect(await grid.blobs.findMissing(needed, signal)).toEqual([]);

    const waiting = grid.wait(client.name);
    await grid.settle();
    client.disconnect();
    await client.done;
    await churn(grid.blobs);
    expect(await grid.blobs.findMissing(own, signal)).toEqual([]);

    const bot = grid.bot('bot-1');
    await bot.create();
    bot.complete(bot.leases[0]?.id ?? '', { exitCode: 0 });
    await bot.update(AT_ONCE);
    await waiting.done;
    expect(waiting.failure).toBeUndefined();
    await churn(grid.blobs);
    expect(await grid.blobs.findMissing(needed, signal)).toEqual(needed);
  });

  test('a request that is refused leaves nothing pinned', async () => {
    const { digest, own } = await prepare(grid.blobs);
    const client = grid.execute(digest, {}, { draining: AbortSignal.abort() });
    await client.done;
    await churn(grid.blobs);
    expect(await grid.blobs.findMissing(own, signal)).toEqual(own);
  });
});
