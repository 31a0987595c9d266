import { Command, CommanderError } from 'commander';
import { ConfigurationError } from '../config/configuration-error.ts';
import { StatusCode, statusCodeName } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { TlsFilesError } from '../lib/tls-files.ts';
import { VERSION } from '../lib/version.ts';
import type { CommandContext, ConfigureCommand } from './command-context.ts';
import { CommandFailure, ExitCode } from './exit-codes.ts';
import { printable } from './printing.ts';

interface CommandEntry {
  readonly name: string;
  readonly summary: string;
  /** Loads the command's file; only the one that was called is ever loaded, so that each starts fast. */
  load(): Promise<ConfigureCommand>;
}

/** Every command, in the order in which help shows them. A new one is a file in `commands/` and an entry here. */
const COMMANDS: readonly CommandEntry[] = [
  {
    name: 'up',
    summary: 'run a whole grid on this machine: server, storage and workers',
    load: async () => (await import('./commands/up.ts')).configureUp,
  },
  {
    name: 'serve',
    summary: 'run one server process with the roles of its configuration',
    load: async () => (await import('./commands/serve.ts')).configureServe,
  },
  {
    name: 'worker',
    summary: 'run actions on this machine for a server',
    load: async () => (await import('./commands/worker.ts')).configureWorker,
  },
  {
    name: 'config',
    summary: 'check a configuration file, show what it means, print its schema',
    load: async () => (await import('./commands/config.ts')).configureConfig,
  },
  {
    name: 'exec',
    summary: 'run a command remotely',
    load: async () => (await import('./commands/exec.ts')).configureExec,
  },
  {
    name: 'cas',
    summary: 'upload, download and show blobs',
    load: async () => (await import('./commands/cas.ts')).configureCas,
  },
  {
    name: 'action-cache',
    summary: 'show cached results of actions',
    load: async () => (await import('./commands/action-cache.ts')).configureActionCache,
  },
  {
    name: 'asset',
    summary: 'find, download and name content by URI',
    load: async () => (await import('./commands/asset.ts')).configureAsset,
  },
  {
    name: 'operation',
    summary: 'list, show, await and cancel operations, print their output',
    load: async () => (await import('./commands/operation.ts')).configureOperation,
  },
  {
    name: 'queue',
    summary: 'show what waits and why, pause and resume work queues',
    load: async () => (await import('./commands/queue.ts')).configureQueue,
  },
  {
    name: 'dead-letters',
    summary: 'show jobs that nobody would run any more, and execute them again',
    load: async () => (await import('./commands/dead-letters.ts')).configureDeadLetters,
  },
  {
    name: 'bots',
    summary: 'list the bots that run actions, and drain them',
    load: async () => (await import('./commands/bots.ts')).configureBots,
  },
  {
    name: 'health',
    summary: 'tell whether a server takes calls',
    load: async () => (await import('./commands/health.ts')).configureHealth,
  },
  {
    name: 'clean',
    summary: 'evict what was used least recently, or tell what would go',
    load: async () => (await import('./commands/clean.ts')).configureClean,
  },
  {
    name: 'index',
    summary: 'check and mend the indexes of stores',
    load: async () => (await import('./commands/index-command.ts')).configureIndex,
  },
  {
    name: 'capabilities',
    summary: 'show what a server can do',
    load: async () => (await import('./commands/capabilities.ts')).configureCapabilities,
  },
];

/**
 * Runs the program.
 *
 * @param args what follows the program's name.
 * @returns the exit code. Never throws.
 */
export async function runProgram(args: readonly string[], context: CommandContext): Promise<number> {
  try {
    const program = await createProgram(args, context);
    await program.parseAsync(args, { from: 'user' });
    return ExitCode.OK;
  } catch (thrown) {
    return report(thrown, context);
  }
}

async function createProgram(args: readonly string[], context: CommandContext): Promise<Command> {
  const program = new Command('warren')
    .description('Remote execution for builds: the Remote Execution API for clients, the Remote Workers API for bots.')
    .version(VERSION)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(text),
    })
    .showHelpAfterError('(--help shows how to call it)')
    .enablePositionalOptions();
  const called = args.find((arg) => !arg.startsWith('-'));
  const helpOf = called === 'help' ? args[args.indexOf('help') + 1] : undefined;
  for (const entry of COMMANDS) {
    const command = program.command(entry.name).summary(entry.summary).description(entry.summary);
    if (entry.name === called || entry.name === helpOf) (await entry.load())(command, context);
  }
  return program;
}

function report(thrown: unknown, context: CommandContext): number {
  if (thrown instanceof CommanderError) return thrown.exitCode === 0 ? ExitCode.OK : ExitCode.USAGE;
  if (thrown instanceof CommandFailure) {
    if (thrown.message !== '') context.stderr.write(`warren: ${printable(thrown.message)}\n`);
    return thrown.exitCode;
  }
  if (thrown instanceof ConfigurationError || thrown instanceof TlsFilesError) {
    context.stderr.write(`warren: ${printable(thrown.message)}\n`);
    return ExitCode.USAGE;
  }
  if (context.stop.aborted && isAbort(thrown)) return ExitCode.INTERRUPTED;
  if (thrown instanceof StatusError) {
    context.stderr.write(`warren: ${statusCodeName(thrown.code)}: ${printable(thrown.message)}\n`);
    return thrown.code === StatusCode.UNAVAILABLE ? ExitCode.UNREACHABLE : ExitCode.FAILURE;
  }
  context.stderr.write(`warren: ${thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)}\n`);
  return ExitCode.FAILURE;
}

function isAbort(thrown: unknown): boolean {
  if (thrown instanceof StatusError) return thrown.code === StatusCode.CANCELLED;
  return thrown instanceof Error && thrown.name === 'AbortError';
}
