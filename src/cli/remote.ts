import { readFile } from 'node:fs/promises';
import { type Command, Option } from 'commander';
import { RemoteBlobStore } from '../adapters/blob/remote/remote-blob-store.ts';
import { type Endpoint, parseEndpoint } from '../adapters/grpc-client/endpoint.ts';
import { GrpcChannel, type TlsOptions } from '../adapters/grpc-client/grpc-channel.ts';
import { Retrier } from '../adapters/grpc-client/retrier.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { linkSignals } from '../lib/abort.ts';
import { RandomIdGenerator } from '../lib/ids.ts';
import { VERSION } from '../lib/version.ts';
import type { CommandContext } from './command-context.ts';
import { CommandFailure, ExitCode } from './exit-codes.ts';

/** Where a command finds the server, unless told otherwise: what `./warren up` listens on. */
const DEFAULT_REMOTE = 'grpc://127.0.0.1:50051';

/** What every command that talks to a server can be told. */
export interface RemoteOptions {
  readonly remote?: string;
  readonly instance: string;
  readonly json?: boolean;
  readonly tlsCa?: string;
  readonly tlsCertificate?: string;
  readonly tlsKey?: string;
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
  return command
    .option(
      '--remote <address>',
      `the server: grpc://HOST:PORT, grpcs://HOST:PORT or unix:PATH (default: $WARREN_REMOTE, or ${DEFAULT_REMOTE})`,
    )
    .addOption(new Option('--instance <name>', 'the instance on the server').default('', 'the one with the empty name'))
    .option('--json', 'print JSON for scripts')
    .option('--tls-ca <file>', 'PEM file with the authorities to trust, for grpcs')
    .option('--tls-certificate <file>', "PEM file with this client's certificate")
    .option('--tls-key <file>', 'PEM file with the key of that certificate')
    .option('--token-file <file>', 'file with a bearer token to send (default: $WARREN_TOKEN)');
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
    tls: await readTls(options),
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
  if (thrown.code === StatusCode.UNAVAILABLE && isConnectFailure(thrown)) {
    return new CommandFailure(ExitCode.UNREACHABLE, unreachable(endpoint, thrown.message), { cause: thrown });
  }
  if (thrown.code === StatusCode.UNIMPLEMENTED) {
    const message = `${endpoint.displayName} does not serve this: ${thrown.message}`;
    return new CommandFailure(ExitCode.FAILURE, message, { cause: thrown });
  }
  return thrown;
}

function isConnectFailure(error: StatusError): boolean {
  return /No connection established|Name resolution|ECONNREFUSED|Connection dropped/.test(error.message);
}

function unreachable({ displayName }: Endpoint, message: string): string {
  const why = /connect (E[A-Z]+|ENOENT)/.exec(message)?.[1];
  const hint = displayName === DEFAULT_REMOTE ? 'Is `./warren up` running?' : 'Is it running?';
  return (
    `cannot reach the server at ${displayName}${why === undefined ? '' : ` (${why})`}. ${hint} ` +
    '--remote or WARREN_REMOTE names another one.'
  );
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

async function readTls({ tlsCa, tlsCertificate, tlsKey }: RemoteOptions): Promise<TlsOptions> {
  if ((tlsCertificate === undefined) !== (tlsKey === undefined)) {
    throw new CommandFailure(ExitCode.USAGE, '--tls-certificate and --tls-key go together');
  }
  return {
    ...(tlsCa === undefined ? {} : { rootCertificates: await readOption('--tls-ca', tlsCa) }),
    ...(tlsCertificate === undefined
      ? {}
      : { clientCertificate: await readOption('--tls-certificate', tlsCertificate) }),
    ...(tlsKey === undefined ? {} : { clientKey: await readOption('--tls-key', tlsKey) }),
  };
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
