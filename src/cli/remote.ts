import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { RemoteBlobStore } from '../adapters/blob/remote/remote-blob-store.ts';
import { type Endpoint, parseEndpoint } from '../adapters/grpc-client/endpoint.ts';
import { GrpcChannel } from '../adapters/grpc-client/grpc-channel.ts';
import { Retrier } from '../adapters/grpc-client/retrier.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { linkSignals } from '../lib/abort.ts';
import { RandomIdGenerator } from '../lib/ids.ts';
import { VERSION } from '../lib/version.ts';
import type { CommandContext } from './command-context.ts';
import { CommandFailure, ExitCode } from './exit-codes.ts';
import { addTlsFlags, readTlsFlags, type TlsFlags } from './tls-flags.ts';
import { DEFAULT_REMOTE, explainUnreachable } from './unreachable.ts';

/** What every command that talks to a server can be told. */
export interface RemoteOptions extends TlsFlags {
  readonly remote?: string;
  readonly instance: string;
  readonly json?: boolean;
  readonly tokenFile?: string;
}

/** A server, and the means to talk to it. */
export interface Remote {
  readonly endpoint: Endpoint;
  readonly instanceName: string;
  readonly channel: GrpcChannel;
  readonly retrier: Retrier;
  readonly blobs: RemoteBlobStore;
}

/** Adds the options that every command has that talks to a server. */
export function addRemoteOptions(command: Command): Command {
  command
    .option(
      '--remote <address>',
      `the server: grpc://HOST:PORT, grpcs://HOST:PORT or unix:PATH (default: $WARREN_REMOTE, or ${DEFAULT_REMOTE})`,
    )
    .addOption(new Option('--instance <name>', 'the instance on the server').default('', 'the one with the empty name'))
    .option('--json', 'print JSON for scripts');
  addTlsFlags(command, 'environment');
  return command.option('--token-file <file>', 'file with a bearer token to send (default: $WARREN_TOKEN)');
}

/** Connects, runs the task and lets go of the connection. @throws CommandFailure that says what to do. */
export async function withRemote<T>(
  options: RemoteOptions,
  context: CommandContext,
  task: (remote: Remote, signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const address = options.remote ?? nonEmpty(context.environment['WARREN_REMOTE']) ?? DEFAULT_REMOTE;
  const endpoint = readEndpoint(address);
  const { clock } = context;
  const token = await readToken(options, context);
  const ids = new RandomIdGenerator();
  const channel = new GrpcChannel({
    endpoint,
    clock,
    tls: await readTlsFlags(options, context),
    ...(token === undefined ? {} : { bearerToken: token }),
    requestMetadata: { toolName: 'warren', toolVersion: VERSION, toolInvocationId: ids.uuid() },
  });
  using link = linkSignals(context.stop);
  try {
    const retrier = new Retrier({ clock, random: jitter(ids), attempts: 4 });
    const instanceName = options.instance;
    const blobs = new RemoteBlobStore({ channel, instanceName, retrier, ids });
    return await task({ endpoint, instanceName, channel, retrier, blobs }, link.signal);
  } catch (thrown) {
    throw explain(thrown, endpoint, context);
  } finally {
    channel.close();
  }
}

/** Jitter needs no more randomness than an id has. */
function jitter(ids: RandomIdGenerator): () => number {
  return () => Number.parseInt(ids.uuid().slice(0, 8), 16) / 2 ** 32;
}

/** The failure in words that say what to do. */
function explain(thrown: unknown, endpoint: Endpoint, context: CommandContext): unknown {
  if (context.stop.aborted) return new CommandFailure(ExitCode.INTERRUPTED);
  if (!(thrown instanceof StatusError)) return thrown;
  const unreachable = thrown.code === StatusCode.UNAVAILABLE ? explainUnreachable(endpoint, thrown.message) : undefined;
  if (unreachable !== undefined) return new CommandFailure(ExitCode.UNREACHABLE, unreachable, { cause: thrown });
  if (thrown.code === StatusCode.UNIMPLEMENTED) {
    const message = `${endpoint.displayName} does not serve this: ${thrown.message}`;
    return new CommandFailure(ExitCode.FAILURE, message, { cause: thrown });
  }
  return thrown;
}

function readEndpoint(address: string): Endpoint {
  try {
    return parseEndpoint(address, '--remote');
  } catch (thrown) {
    throw new CommandFailure(ExitCode.USAGE, thrown instanceof Error ? thrown.message : String(thrown));
  }
}

async function readToken(options: RemoteOptions, context: CommandContext): Promise<string | undefined> {
  if (options.tokenFile !== undefined) return (await readOption('--token-file', options.tokenFile)).toString().trim();
  return nonEmpty(context.environment['WARREN_TOKEN']);
}

async function readOption(option: string, path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new CommandFailure(ExitCode.USAGE, `${option}: ${why}`, { cause });
  }
}

function nonEmpty(text: string | undefined): string | undefined {
  return text === undefined || text === '' ? undefined : text;
}
