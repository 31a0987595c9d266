import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { parseByteSize } from '../lib/byte-size.ts';
import type { CommandContext } from './command-context.ts';
import { integerIn } from './integer-argument.ts';
import { addTlsFlags, type TlsFlags, tlsSettingsOfFlags } from './tls-flags.ts';

/** The settings of a worker that have a flag; the configuration file knows more. */
export interface WorkerFlags extends TlsFlags {
  readonly remote?: string;
  readonly instance?: string;
  readonly slots?: number;
  readonly directory?: string;
  readonly cacheSize?: number;
  readonly sandbox?: string;
  readonly network?: boolean;
  readonly property?: ReadonlyArray<{ readonly name: string; readonly value: string }>;
  readonly botId?: string;
}

/** Adds the flags of a worker. None has a default here, so that those which were given overrule the file alone. */
export function addWorkerFlags(command: Command): void {
  command
    .option('--remote <address>', 'the server, such as grpc://127.0.0.1:50051')
    .option('--instance <name>', 'the instance that it works for (default: the one with the empty name)')
    .addOption(
      new Option('--slots <number>', 'actions run at once (default: one for each core)').argParser(
        integerIn(1, 10_000),
      ),
    )
    .option('--directory <folder>', 'folder of inputs kept and of actions that run (default: in the cache of the user)')
    .addOption(new Option('--cache-size <size>', 'how much of the inputs is kept (default: 5G)').argParser(size))
    .addOption(
      new Option('--sandbox <kind>', 'how actions are run (default: auto)').choices(['auto', 'bubblewrap', 'none']),
    )
    .option('--network', 'let actions that do not ask for or against it reach the network')
    .addOption(
      new Option('--property <name=value>', 'a platform property that it offers; may be given many times').argParser(
        property,
      ),
    )
    .option('--bot-id <id>', 'names the bot (default: host name and folder)');
  addTlsFlags(command, 'configuration');
}

/** What the flags say, as the configuration file would. */
export function settingsOfFlags(flags: WorkerFlags): Record<string, unknown> {
  const { remote, instance, slots, directory, cacheSize, sandbox, network, property, botId } = flags;
  const tls = tlsSettingsOfFlags(flags);
  const settings = {
    remote,
    tls: Object.keys(tls).length === 0 ? undefined : tls,
    instance,
    slots,
    directory: directory === undefined ? undefined : resolve(directory),
    maxCacheBytes: cacheSize,
    sandbox,
    network,
    properties: property,
    botId,
  };
  return Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined));
}

/** Where a worker keeps its files unless told otherwise. */
export function defaultWorkerDirectory(environment: CommandContext['environment']): string {
  const cache = environment['XDG_CACHE_HOME'];
  return join(
    cache?.startsWith('/') === true ? cache : join(environment['HOME'] ?? homedir(), '.cache'),
    'warren-worker',
  );
}

function size(text: string): number {
  const bytes = parseByteSize(text);
  if (bytes === undefined) throw new InvalidArgumentError('a size such as 500M or 10G');
  return bytes;
}

type PropertyFlag = { readonly name: string; readonly value: string };

function property(text: string, before: readonly PropertyFlag[] | undefined): PropertyFlag[] {
  const at = text.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('a name and a value, such as pool=large');
  return [...(before ?? []), { name: text.slice(0, at), value: text.slice(at + 1) }];
}
