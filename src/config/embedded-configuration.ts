import { homedir } from 'node:os';
import { join } from 'node:path';
import { ConfigurationError } from './configuration-error.ts';
import { checkConfiguration, mergeConfigurations } from './load-configuration.ts';
import { type GridConfiguration, gridSchema } from './replica-configuration.ts';

/** What `warren up` is told on its command line; what is undefined was not said. */
export interface EmbeddedOptions {
  /** Where everything is kept. */
  readonly dataDirectory: string;
  readonly port?: number | undefined;
  readonly workers?: number | undefined;
  readonly maxSizeBytes?: number | undefined;
  readonly consolePort?: number | undefined;
  /** Whether there is a console. Defaults to true. */
  readonly console?: boolean;
}

/** What the machine offers. */
export interface EmbeddedDefaults {
  readonly cores: number;
  readonly maxSizeBytes: number;
  /** A port that is free, or 0. Defaults to 0. */
  readonly consolePort?: number;
}

/** Share of the room that results of actions get; blobs have the rest. A result is a few hundred bytes. */
const ACTION_CACHE_SHARE = 1 / 32;

/** The smallest room in which a store works. */
const LEAST_BYTES = 1024 * 1024;

/**
 * The configuration of the embedded grid: what suits one machine, under what a file says, under the command line.
 *
 * @param file plain values of a configuration file; undefined where there is none.
 * @throws ConfigurationError.
 */
export function embeddedConfiguration(
  source: string,
  file: unknown,
  options: EmbeddedOptions,
  defaults: EmbeddedDefaults,
): GridConfiguration {
  const { dataDirectory, workers } = options;
  const base = {
    // The grid's own worker is there from the start: who asks for what it lacks should hear it soon.
    scheduling: { unservedSeconds: 5 },
    console: { listen: `127.0.0.1:${defaults.consolePort ?? 0}` },
    blobs: { kind: 'disk', directory: join(dataDirectory, 'blobs'), ...sizeOf(defaults.maxSizeBytes, false) },
    actionCache: {
      kind: 'disk',
      directory: join(dataDirectory, 'action-cache'),
      ...sizeOf(defaults.maxSizeBytes, true),
    },
    assets: {
      kind: 'disk',
      directory: join(dataDirectory, 'assets'),
      fetch: { directory: join(dataDirectory, 'downloads') },
    },
    worker: {
      slots: defaults.cores,
      prefetch: workers ?? defaults.cores,
      directory: join(dataDirectory, 'worker'),
      // Else the only worker would wait at an instance that is not there.
      instance: firstInstanceOf(file),
    },
  };
  const { port, maxSizeBytes, consolePort } = options;
  const flags = {
    ...(port === undefined ? {} : { server: { listen: `127.0.0.1:${port}` } }),
    ...(consolePort === undefined ? {} : { console: { listen: `127.0.0.1:${consolePort}` } }),
    ...(workers === undefined ? {} : { worker: { slots: workers } }),
    ...(maxSizeBytes === undefined
      ? {}
      : { blobs: sizeOf(maxSizeBytes, false), actionCache: sizeOf(maxSizeBytes, true) }),
  };
  const merged = mergeConfigurations(base, file);
  if (maxSizeBytes !== undefined) checkSizeFits(source, merged);
  const { console, ...rest } = checkConfiguration(source, mergeConfigurations(merged, flags), gridSchema);
  // Whatever the file hides, the grid's own data must not be seen by actions.
  const elsewhere = diskFolders([rest.blobs, rest.actionCache, rest.assets]).filter(
    (folder) => !folder.startsWith(`${dataDirectory}/`),
  );
  const hiddenFolders = [dataDirectory, ...elsewhere];
  const worker = { ...rest.worker, hiddenFolders: [...new Set([...rest.worker.hiddenFolders, ...hiddenFolders])] };
  const withoutConsole = { ...rest, worker };
  return options.console !== false ? { ...withoutConsole, console } : withoutConsole;
}

/** The folders of all stores on disk, however they are composed. */
function diskFolders(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const { kind, directory } = value as { readonly kind?: unknown; readonly directory?: unknown };
  const own = kind === 'disk' && typeof directory === 'string' ? [directory] : [];
  return [...own, ...Object.values(value).flatMap(diskFolders)];
}

/** The name of the first instance that a file has, which is not checked yet; undefined where it has none. */
function firstInstanceOf(file: unknown): string | undefined {
  const instances = (file as { readonly instances?: unknown } | null | undefined)?.instances;
  const name = Array.isArray(instances) ? (instances[0] as { readonly name?: unknown } | null)?.name : undefined;
  return typeof name === 'string' ? name : undefined;
}

/** A size on the command line can only be that of one store. */
function checkSizeFits(source: string, merged: unknown): void {
  const stores = merged as Readonly<Record<'blobs' | 'actionCache', { readonly kind?: unknown } | null>>;
  const problems = (['blobs', 'actionCache'] as const).flatMap((path) => {
    const kind = stores[path]?.kind;
    if (kind === 'disk' || kind === 'memory') return [];
    return [{ path, message: `--max-size is for disk and memory; this store names its sizes itself` }];
  });
  if (problems.length > 0) throw new ConfigurationError(source, problems);
}

function sizeOf(total: number, isActionCache: boolean): { readonly maximumSizeBytes: number } {
  const actionCache = Math.max(LEAST_BYTES, Math.floor(total * ACTION_CACHE_SHARE));
  return { maximumSizeBytes: isActionCache ? actionCache : Math.max(LEAST_BYTES, total - actionCache) };
}

/** Where `warren up` keeps its data unless told otherwise: the cache folder of the user. */
export function defaultDataDirectory(environment: Readonly<Record<string, string | undefined>>): string {
  const cache = environment['XDG_CACHE_HOME'];
  return join(cache?.startsWith('/') === true ? cache : join(environment['HOME'] ?? homedir(), '.cache'), 'warren');
}
