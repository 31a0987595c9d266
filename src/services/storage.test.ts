import { describe, expect, test } from 'vitest';
import { callContext } from '../../test/support/call-context.ts';
import { StatusCode } from '../domain/status-code.ts';
import type { IndexDifference, StoreMaintenance } from '../ports/store-maintenance.ts';
import { Storage } from './storage.ts';

/** A store that tells what it was asked. */
class FakeMaintenance implements StoreMaintenance {
  readonly calls: unknown[] = [];
  differences: IndexDifference[] = [];

  async usage() {
    return { entries: 3, bytes: 300, maximumBytes: 1_000, maximumEntries: undefined };
  }

  async clean(targetBytes: number | undefined, dryRun: boolean, signal: AbortSignal) {
    signal.throwIfAborted();
    this.calls.push(['clean', targetBytes, dryRun]);
    return { entries: 2, bytes: 200, oldestUse: 1_000, newestUse: 2_500, unfinishedUploads: 0 };
  }

  async *check(signal: AbortSignal) {
    signal.throwIfAborted();
    yield* this.differences;
  }

  async rebuild() {
    this.calls.push(['rebuild']);
    return { entries: 3, bytes: 300, added: 1, removed: 2, listed: true };
  }
}

async function collect<T>(source: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const each of source) all.push(each);
  return all;
}

function serve() {
  const [blobs, results] = [new FakeMaintenance(), new FakeMaintenance()];
  const service = new Storage([
    { path: 'blobs.fast', maintenance: blobs },
    { path: 'actionCache', maintenance: results },
  ]);
  return { blobs, results, service };
}

describe('warren.v1.Storage', () => {
  test('tells how full each store is', async () => {
    const { service } = serve();
    const { stores } = await service.listStores({}, callContext());
    expect(stores.map(({ name }) => name)).toEqual(['blobs.fast', 'actionCache']);
    expect(stores[0]).toMatchObject({ entries: 3n, bytes: 300n, maximumBytes: 1_000n, maximumEntries: 0n });
  });

  test('cleans every store where none is named, and one where it is', async () => {
    const { service, blobs, results } = serve();
    const all = await collect(service.cleanStores({ store: '', dryRun: true }, callContext()));
    expect(all).toMatchObject([{ store: 'blobs.fast' }, { store: 'actionCache', entries: 2n, bytes: 200n }]);
    expect(all[0]).toMatchObject({ oldestUse: { seconds: 1n }, newestUse: { seconds: 2n, nanos: 500_000_000 } });
    await collect(service.cleanStores({ store: 'actionCache', dryRun: false, targetBytes: 0n }, callContext()));
    expect(blobs.calls).toEqual([['clean', undefined, true]]);
    expect(results.calls).toEqual([
      ['clean', undefined, true],
      ['clean', 0, false],
    ]);
  });

  test('names every difference with its store', async () => {
    const { service, results } = serve();
    results.differences = [{ what: 'lost', entry: 'abc/1' }];
    expect(await collect(service.checkIndexes({ store: '' }, callContext()))).toEqual([
      { store: 'actionCache', what: 'lost', entry: 'abc/1' },
    ]);
  });

  test('rebuilds', async () => {
    const { service } = serve();
    expect(await collect(service.rebuildIndexes({ store: 'blobs.fast' }, callContext()))).toEqual([
      { store: 'blobs.fast', entries: 3n, bytes: 300n, added: 1n, removed: 2n, listed: true },
    ]);
  });

  test('an unknown store is NOT_FOUND and told what there is; a negative target is INVALID_ARGUMENT', async () => {
    const { service } = serve();
    await expect(collect(service.checkIndexes({ store: 'blobs' }, callContext()))).rejects.toMatchObject({
      code: StatusCode.NOT_FOUND,
      message: expect.stringContaining("'blobs.fast', 'actionCache'"),
    });
    const negative = { store: '', dryRun: true, targetBytes: -1n };
    await expect(collect(service.cleanStores(negative, callContext()))).rejects.toMatchObject({
      code: StatusCode.INVALID_ARGUMENT,
    });
  });

  test('a task of a replica that drains ends with UNAVAILABLE', async () => {
    const { service } = serve();
    const draining = callContext({ draining: AbortSignal.abort() });
    await expect(collect(service.cleanStores({ store: '', dryRun: true }, draining))).rejects.toMatchObject({
      code: StatusCode.UNAVAILABLE,
    });
    await expect(collect(service.checkIndexes({ store: '' }, draining))).rejects.toMatchObject({
      code: StatusCode.UNAVAILABLE,
    });
  });
});
