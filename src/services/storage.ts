import { invalidArgument, notFound, unavailable } from '../domain/status-error.ts';
import { linkSignals } from '../lib/abort.ts';
import type { CallContext } from '../ports/call-context.ts';
import { hasIndex, type IndexedStore, type MaintainedStore } from '../ports/store-maintenance.ts';
import type {
  CheckIndexesRequest,
  CleanedStore,
  CleanStoresRequest,
  IndexDifference,
  ListStoresRequest,
  ListStoresResponse,
  RebuildIndexesRequest,
  RebuiltIndex,
} from '../proto/warren/v1/storage.ts';
import { timestampFromMilliseconds } from '../wire/time.ts';

/** How soon a caller that was sent away by the drain should come again, in milliseconds. */
const DRAIN_RETRY_DELAY_MS = 1_000;

/** The service warren.v1.Storage: what an operator does about stores that have an index. */
export class Storage {
  readonly #stores: readonly MaintainedStore[];

  constructor(stores: readonly MaintainedStore[]) {
    this.#stores = stores;
  }

  /** @throws UNAVAILABLE when an index can't be asked. */
  async listStores(_request: ListStoresRequest, { signal }: CallContext): Promise<ListStoresResponse> {
    const stores = await Promise.all(
      this.#stores.filter(hasIndex).map(async ({ path, maintenance }) => {
        const { entries, bytes, maximumBytes, maximumEntries = 0 } = await maintenance.usage(signal);
        return {
          name: path,
          entries: BigInt(entries),
          bytes: BigInt(bytes),
          maximumBytes: BigInt(maximumBytes),
          maximumEntries: BigInt(maximumEntries),
        };
      }),
    );
    return { stores };
  }

  /** @throws NOT_FOUND, INVALID_ARGUMENT for a target below 0; UNAVAILABLE when the server stops. */
  async *cleanStores(request: CleanStoresRequest, context: CallContext): AsyncGenerator<CleanedStore> {
    const { dryRun, targetBytes } = request;
    if (targetBytes !== undefined && targetBytes < 0n) {
      throw invalidArgument('target_bytes', `is not negative, as ${targetBytes} is`);
    }
    const target = targetBytes === undefined ? undefined : Number(targetBytes);
    for (const { path, maintenance } of named(this.#stores, request.store)) {
      const report = await whileServing(context, (signal) => maintenance.clean(target, dryRun, signal));
      yield {
        store: path,
        entries: BigInt(report.entries),
        bytes: BigInt(report.bytes),
        oldestUse: timestampOf(report.oldestUse),
        newestUse: timestampOf(report.newestUse),
        unfinishedUploads: BigInt(report.unfinishedUploads),
      };
    }
  }

  /** @throws NOT_FOUND; UNAVAILABLE when the server stops. */
  async *checkIndexes(request: CheckIndexesRequest, context: CallContext): AsyncGenerator<IndexDifference> {
    const { signal, draining } = context;
    for (const { path, maintenance } of this.#indexed(request.store)) {
      using link = linkSignals(signal, draining);
      const differences = maintenance.check(link.signal)[Symbol.asyncIterator]();
      for (;;) {
        const next = await whileServing(context, () => differences.next());
        if (next.done === true) break;
        yield { store: path, ...next.value };
      }
    }
  }

  /** @throws NOT_FOUND; UNAVAILABLE when the server stops. */
  async *rebuildIndexes(request: RebuildIndexesRequest, context: CallContext): AsyncGenerator<RebuiltIndex> {
    for (const { path, maintenance } of this.#indexed(request.store)) {
      const report = await whileServing(context, (signal) => maintenance.rebuild(signal));
      yield {
        store: path,
        entries: BigInt(report.entries),
        bytes: BigInt(report.bytes),
        added: BigInt(report.added),
        removed: BigInt(report.removed),
        listed: report.listed,
      };
    }
  }

  #indexed(name: string): readonly IndexedStore[] {
    return named(this.#stores.filter(hasIndex), name, ' with an index');
  }
}

function named<Store extends MaintainedStore>(stores: readonly Store[], name: string, what = ''): readonly Store[] {
  if (name === '') return stores;
  const found = stores.filter(({ path }) => path === name);
  if (found.length > 0) return found;
  const known = stores.map(({ path }) => `'${path}'`).join(', ');
  throw notFound(`no store${what} is called '${name}' here; there is ${known === '' ? 'none' : known}`);
}

/** A long task ends when the caller goes, and when the replica drains: then with UNAVAILABLE. */
async function whileServing<T>(
  { signal, draining }: CallContext,
  task: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  using link = linkSignals(signal, draining);
  try {
    return await task(link.signal);
  } catch (cause) {
    if (!signal.aborted && draining.aborted) throw unavailable('the server is stopping', DRAIN_RETRY_DELAY_MS, cause);
    throw cause;
  }
}

function timestampOf(milliseconds: number | undefined) {
  return milliseconds === undefined ? undefined : timestampFromMilliseconds(milliseconds);
}
