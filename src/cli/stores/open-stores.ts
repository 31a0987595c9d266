import { stat } from 'node:fs/promises';
import { type Command, InvalidArgumentError } from 'commander';
import { openOfflineStores } from '../../compose/offline-stores.ts';
import { embeddedConfiguration } from '../../config/embedded-configuration.ts';
import { checkConfiguration, readConfigurationFile } from '../../config/load-configuration.ts';
import { type ReplicaConfiguration, replicaSchema } from '../../config/replica-configuration.ts';
import { parseByteSize } from '../../lib/byte-size.ts';
import { DirectoryLockedError } from '../../lib/directory-lock.ts';
import { RandomIdGenerator } from '../../lib/ids.ts';
import type { CommandContext } from '../command-context.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import { createLogger } from '../logging.ts';
import { addRemoteOptions, type RemoteOptions, withRemote } from '../remote.ts';
import { LocalStoreAccess, RemoteStoreAccess, type StoreAccess } from './store-access.ts';

/** What every command on stores can be told. */
export interface StoreOptions extends RemoteOptions {
  readonly store: string;
  readonly config?: string;
  readonly dataDir?: string;
}

/** So that opening a folder of unknown limits evicts nothing. */
const NO_LIMIT_BYTES = 2 ** 50;

/** Adds the options by which a command finds its stores. */
export function addStoreOptions(command: Command): Command {
  command
    .option('--store <name>', 'one store alone, by its place in the configuration, such as blobs or blobs.fast', '')
    .option('--config <file>', 'the stores of this configuration of `warren serve`, whether it is running or not')
    .option('--data-dir <folder>', 'the stores of `warren up` in this folder, while it is not running');
  return addRemoteOptions(command);
}

/**
 * Finds the stores: those of a server, or with `--config` or `--data-dir` those of a configuration. These are opened here
 * where no server has them; else the server that listens where the configuration says is asked.
 */
export async function withStores<T>(
  options: StoreOptions,
  context: CommandContext,
  task: (stores: StoreAccess, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const askServer = (remote: RemoteOptions) =>
    withRemote(remote, context, (each, signal) => task(new RemoteStoreAccess(each), signal));
  const configuration = await findConfiguration(options, context);
  if (configuration === undefined) return askServer(options);
  const logger = createLogger({ logLevel: 'warn', logFormat: 'plain' }, context.clock, (line) =>
    context.stderr.write(`${line}\n`),
  );
  let stores: Awaited<ReturnType<typeof openOfflineStores>>;
  try {
    const dependencies = { clock: context.clock, ids: new RandomIdGenerator(), logger, random: Math.random };
    stores = await openOfflineStores(configuration, dependencies, context.stop);
  } catch (thrown) {
    if (!(thrown instanceof DirectoryLockedError)) throw thrown;
    return askServer({ ...options, remote: options.remote ?? `grpc://${reachable(configuration.server.listen)}` });
  }
  try {
    return await task(new LocalStoreAccess(stores.maintained), context.stop);
  } finally {
    await stores.close();
  }
}

/** A size on the command line. */
export function parseSizeOption(text: string): number {
  const size = parseByteSize(text);
  if (size === undefined) throw new InvalidArgumentError('must be a size, such as 500M or 10G');
  return size;
}

async function findConfiguration(
  { config, dataDir }: StoreOptions,
  { environment }: CommandContext,
): Promise<ReplicaConfiguration | undefined> {
  if (config !== undefined && dataDir !== undefined) {
    throw new CommandFailure(ExitCode.USAGE, '--config and --data-dir exclude each other');
  }
  if (config !== undefined) {
    return checkConfiguration(config, await readConfigurationFile(config, { environment }), replicaSchema);
  }
  if (dataDir === undefined) return undefined;
  if ((await stat(dataDir).catch(() => undefined))?.isDirectory() !== true) {
    throw new CommandFailure(ExitCode.USAGE, `--data-dir: there is no folder ${dataDir}`);
  }
  const limits = { cores: 1, maxSizeBytes: NO_LIMIT_BYTES };
  return embeddedConfiguration('--data-dir', undefined, { dataDirectory: dataDir }, limits);
}

/** Where a server that listens on all addresses is reached from this machine. */
function reachable(listen: string): string {
  return listen.replace(/^(?:0\.0\.0\.0|\[::\]):/, '127.0.0.1:');
}
