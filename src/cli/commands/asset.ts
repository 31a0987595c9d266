import type { Command } from 'commander';
import { type Digest, digestKey } from '../../domain/digest.ts';
import { SHA256 } from '../../domain/digest-function.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { StatusError } from '../../domain/status-error.ts';
import {
  type FetchBlobResponse,
  type FetchDirectoryResponse,
  FetchService,
  PushService,
} from '../../proto/build/bazel/remote/asset/v1/remote_asset.ts';
import { digestFromWire, digestFunctionFromWire, digestFunctionToWire, digestToWire } from '../../wire/digest.ts';
import { statusFromWire } from '../../wire/status.ts';
import { durationFromMilliseconds, timestampFromMilliseconds } from '../../wire/time.ts';
import type { CommandContext } from '../command-context.ts';
import { parseDigestArgument } from '../digest-argument.ts';
import { downloadTo } from '../download-target.ts';
import { addExample } from '../example.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import { newTransferProgress } from '../local-blobs.ts';
import { collectNamedValue, type NamedValue, parseDuration } from '../option-values.ts';
import { presentTime, propertiesText } from '../present/values.ts';
import { fieldLines, printable, printJson, printLines } from '../printing.ts';
import { addRemoteOptions, type Remote, type RemoteOptions, withRemote } from '../remote.ts';
import { StatusLine } from '../status-line.ts';
import { transferText } from '../transfer-report.ts';

interface AssetOptions extends RemoteOptions {
  readonly qualifier?: readonly NamedValue[];
  readonly directory?: boolean;
}

interface FetchOptions extends AssetOptions {
  readonly sri?: string;
  readonly timeout?: number;
  readonly refresh?: boolean;
  readonly output?: string;
}

interface PushOptions extends AssetOptions {
  readonly expires?: number;
}

/** What the server has found. */
interface FoundAsset {
  readonly digest: Digest;
  readonly answer: FetchBlobResponse | FetchDirectoryResponse;
}

const QUALIFIER = ['--qualifier <name=value>', 'what tells it apart from other content of the URI'] as const;

/** `warren asset`: content by URI. */
export function configureAsset(command: Command, context: CommandContext): void {
  const fetch = command
    .command('fetch')
    .description('have the server find or download content by its URIs; prints its digest')
    .argument('<uri...>', 'where it is; tried in order')
    .option('--sri <checksum>', 'the checksum that it must have, such as sha256-<base64>')
    .option(...QUALIFIER, collectNamedValue)
    .option('--directory', 'it is a folder, or a tar or tar.gz that the server unpacks into one')
    .option('--refresh', 'nothing that the server has kept: as it is now')
    .option('--timeout <seconds>', 'the server may take so long for a download', parseDuration)
    .option('--output <path>', 'bring it here, too; - for a file to the standard output')
    .action((uris: string[], options: FetchOptions) => fetchAction(uris, options, context));
  addExample(
    addRemoteOptions(fetch),
    'warren asset fetch https://example.com/a.tar.gz --sri sha256-uU0n...zek= --output a.tar.gz',
    'warren asset fetch https://example.com/a.tar.gz --directory --qualifier directory=a-1.0 --output a',
    'warren asset fetch https://example.com/a.git --directory --qualifier vcs.commit=b5123b1 --output a',
  );

  const push = command
    .command('push')
    .description('say which stored content a URI stands for')
    .argument('<uri>', 'the URI')
    .argument('<digest>', 'of a blob, or of the root Directory of a folder: HASH/SIZE', parseDigestArgument)
    .option(...QUALIFIER, collectNamedValue)
    .option('--directory', 'it is a folder')
    .option('--expires <seconds>', 'for so long', parseDuration)
    .action((uri: string, digest: Digest, options: PushOptions) => pushAction(uri, digest, options, context));
  addExample(
    addRemoteOptions(push),
    'warren asset push urn:example:toolchain:12 9c56...61/14',
    'warren asset push https://example.com/a.git 4d3a...07/83 --directory --qualifier vcs.commit=b5123b1',
  );
  addExample(command, 'warren asset fetch https://example.com/a.tar.gz --output a.tar.gz');
}

async function fetchAction(uris: readonly string[], options: FetchOptions, context: CommandContext): Promise<void> {
  const { output } = options;
  const progress = newTransferProgress();
  const status = new StatusLine(context.stderr, context.clock);
  status.show(() => (progress.totalBlobs === 0 ? 'waiting for the server' : `downloading ${transferText(progress)}`));
  let found: FoundAsset;
  try {
    found = await withRemote(options, context, async (remote, signal) => {
      const asset = await fetchAsset(remote, uris, options, context, signal);
      if (output !== undefined) {
        const kind = options.directory === true ? 'directory' : 'file';
        const wish = { digest: asset.digest, kind, executable: false } as const;
        await downloadTo(remote.blobs, wish, output, context.stdout, progress, signal);
      }
      return asset;
    });
  } finally {
    status.clear();
  }
  if (output !== '-') print(found, options, context);
}

async function fetchAsset(
  { channel, instanceName, retrier }: Remote,
  uris: readonly string[],
  options: FetchOptions,
  context: CommandContext,
  signal: AbortSignal,
): Promise<FoundAsset> {
  const checksum = options.sri === undefined ? [] : [{ name: 'checksum.sri', value: options.sri }];
  const request = {
    instanceName,
    timeout: options.timeout === undefined ? undefined : durationFromMilliseconds(options.timeout),
    oldestContentAccepted: options.refresh === true ? timestampFromMilliseconds(context.clock.now()) : undefined,
    uris: [...uris],
    qualifiers: [...checksum, ...(options.qualifier ?? [])],
    digestFunction: digestFunctionToWire(SHA256),
  };
  const call = async () => {
    if (options.directory === true) {
      const answer = await channel.unary(FetchService.fetchDirectory, request, {}, signal);
      return { answer, digest: answer.rootDirectoryDigest };
    }
    const answer = await channel.unary(FetchService.fetchBlob, request, {}, signal);
    return { answer, digest: answer.blobDigest };
  };
  const { answer, digest } = await retrier.run(call, signal);
  const failure = statusFromWire(answer.status ?? { code: StatusCode.OK, message: '', details: [] });
  if (failure.code !== StatusCode.OK) {
    throw new StatusError(failure.code, `${printable(answer.uri)}: ${printable(failure.message)}`);
  }
  const digestFunction = digestFunctionFromWire(answer.digestFunction, undefined);
  return { answer, digest: digestFromWire(digest, digestFunction, 'digest') };
}

function print({ digest, answer }: FoundAsset, options: FetchOptions, context: CommandContext): void {
  const expiresAt = presentTime(answer.expiresAt);
  if (options.json === true) {
    const { uri, qualifiers } = answer;
    printJson(context.stdout, { digest: digestKey(digest), uri, qualifiers, expiresAt, output: options.output });
    return;
  }
  printLines(
    context.stdout,
    fieldLines([
      ['digest', digestKey(digest)],
      ['uri', printable(answer.uri)],
      ['qualifiers', printable(propertiesText(answer.qualifiers) ?? '')],
      ['expires at', expiresAt],
    ]),
  );
}

async function pushAction(uri: string, digest: Digest, options: PushOptions, context: CommandContext): Promise<void> {
  if (uri === '') throw new CommandFailure(ExitCode.USAGE, 'the URI is empty');
  const { expires } = options;
  const expireAt = expires === undefined ? undefined : timestampFromMilliseconds(context.clock.now() + expires);
  await withRemote(options, context, ({ channel, instanceName, retrier }, signal) => {
    const request = {
      instanceName,
      uris: [uri],
      qualifiers: [...(options.qualifier ?? [])],
      expireAt,
      referencesBlobs: [],
      referencesDirectories: [],
      digestFunction: digestFunctionToWire(digest.digestFunction),
    };
    const content = digestToWire(digest);
    return retrier.run(async () => {
      if (options.directory === true) {
        await channel.unary(PushService.pushDirectory, { ...request, rootDirectoryDigest: content }, {}, signal);
      } else {
        await channel.unary(PushService.pushBlob, { ...request, blobDigest: content }, {}, signal);
      }
    }, signal);
  });
  if (options.json === true) printJson(context.stdout, { uri, digest: digestKey(digest) });
  else printLines(context.stdout, [`${printable(uri)} is ${digestKey(digest)}`]);
}
