import {
  type CleaningReport,
  hasIndex,
  type IndexDifference,
  type IndexedStore,
  type MaintainedStore,
  type RebuildReport,
} from '../../ports/store-maintenance.ts';
import { StorageService } from '../../proto/warren/v1/storage.ts';
import { timestampToMilliseconds } from '../../wire/time.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import type { Remote } from '../remote.ts';

/** What was done about one store, by its name. */
export type OfStore<Report> = Report & { readonly store: string };

/** Looks after stores, those of a server or those that this process has opened. An empty name stands for all. */
export interface StoreAccess {
  clean(
    store: string,
    targetBytes: number | undefined,
    dryRun: boolean,
    signal: AbortSignal,
  ): AsyncIterable<OfStore<CleaningReport>>;
  check(store: string, signal: AbortSignal): AsyncIterable<OfStore<IndexDifference>>;
  rebuild(store: string, signal: AbortSignal): AsyncIterable<OfStore<RebuildReport>>;
}

/** The stores of a server, by warren.v1.Storage. */
export class RemoteStoreAccess implements StoreAccess {
  readonly #remote: Remote;

  constructor(remote: Remote) {
    this.#remote = remote;
  }

  async *clean(
    store: string,
    targetBytes: number | undefined,
    dryRun: boolean,
    signal: AbortSignal,
  ): AsyncGenerator<OfStore<CleaningReport>> {
    const target = targetBytes === undefined ? {} : { targetBytes: BigInt(targetBytes) };
    const request = { store, dryRun, ...target };
    for await (const each of this.#remote.channel.serverStream(StorageService.cleanStores, request, {}, signal)) {
      yield {
        store: each.store,
        entries: Number(each.entries),
        bytes: Number(each.bytes),
        oldestUse: timestampToMilliseconds(each.oldestUse),
        newestUse: timestampToMilliseconds(each.newestUse),
        unfinishedUploads: Number(each.unfinishedUploads),
      };
    }
  }

  async *check(store: string, signal: AbortSignal): AsyncGenerator<OfStore<IndexDifference>> {
    for await (const each of this.#remote.channel.serverStream(StorageService.checkIndexes, { store }, {}, signal)) {
      yield { ...each, what: each.what as IndexDifference['what'] };
    }
  }

  async *rebuild(store: string, signal: AbortSignal): AsyncGenerator<OfStore<RebuildReport>> {
    for await (const each of this.#remote.channel.serverStream(StorageService.rebuildIndexes, { store }, {}, signal)) {
      yield {
        store: each.store,
        entries: Number(each.entries),
        bytes: Number(each.bytes),
        added: Number(each.added),
        removed: Number(each.removed),
        listed: each.listed,
      };
    }
  }
}

/** Stores that this process has opened. */
export class LocalStoreAccess implements StoreAccess {
  readonly #stores: readonly MaintainedStore[];

  constructor(stores: readonly MaintainedStore[]) {
    this.#stores = stores;
  }

  async *clean(
    store: string,
    targetBytes: number | undefined,
    dryRun: boolean,
    signal: AbortSignal,
  ): AsyncGenerator<OfStore<CleaningReport>> {
    for (const { path, maintenance } of named(this.#stores, store)) {
      yield { store: path, ...(await maintenance.clean(targetBytes, dryRun, signal)) };
    }
  }

  async *check(store: string, signal: AbortSignal): AsyncGenerator<OfStore<IndexDifference>> {
    for (const { path, maintenance } of this.#indexed(store)) {
      for await (const difference of maintenance.check(signal)) yield { store: path, ...difference };
    }
  }

  async *rebuild(store: string, signal: AbortSignal): AsyncGenerator<OfStore<RebuildReport>> {
    for (const { path, maintenance } of this.#indexed(store)) {
      yield { store: path, ...(await maintenance.rebuild(signal)) };
    }
  }

  #indexed(name: string): readonly IndexedStore[] {
    return named(this.#stores.filter(hasIndex), name, ' with an index');
  }
}

function named<Store extends MaintainedStore>(stores: readonly Store[], name: string, what = ''): readonly Store[] {
  const found = stores.filter(({ path }) => name === '' || path === name);
  if (name === '' || found.length > 0) return found;
  const known = stores.map(({ path }) => path).join(', ');
  throw new CommandFailure(
    ExitCode.FAILURE,
    `no store${what} is called '${name}'; there is ${known === '' ? 'none' : known}`,
  );
}
