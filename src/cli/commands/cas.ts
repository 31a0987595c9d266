import { stat } from 'node:fs/promises';
import type { Command } from 'commander';
import { type Digest, digestKey } from '../../domain/digest.ts';
import { type DigestFunction, SHA256 } from '../../domain/digest-function.ts';
import type { Tree } from '../../domain/merkle-tree.ts';
import { formatDuration } from '../../lib/format-duration.ts';
import { Action, Command as ActionCommand } from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire } from '../../wire/digest.ts';
import { decodeDirectory } from '../../wire/directory.ts';
import type { CommandContext } from '../command-context.ts';
import { parseDigestArgument, parseDigestFunctionArgument } from '../digest-argument.ts';
import { addTree, newWantedNodes } from '../download.ts';
import { downloadTo } from '../download-target.ts';
import { addExample } from '../example.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import { newTransferProgress, uploadOutputs } from '../local-blobs.ts';
import { digestOfFile, type LocalTree, LocalTreeBuilder } from '../local-tree.ts';
import {
  actionLines,
  commandLines,
  directoryLines,
  presentAction,
  presentCommand,
  presentDirectory,
} from '../present/blobs.ts';
import { printable, printJson, printLines, tableLines } from '../printing.ts';
import { addRemoteOptions, type RemoteOptions, withRemote } from '../remote.ts';
import { StatusLine } from '../status-line.ts';
import { readDirectoryTree, readMessage, readTreeMessage } from '../stored-messages.ts';
import { transferredText, transferText } from '../transfer-report.ts';

interface UploadOptions extends RemoteOptions {
  readonly digestFunction?: DigestFunction;
}

interface DigestOptions {
  readonly digestFunction?: DigestFunction;
  readonly json?: boolean;
}

interface DownloadOptions extends RemoteOptions {
  readonly directory?: boolean;
  readonly tree?: boolean;
  readonly executable?: boolean;
}

interface ShowOptions extends RemoteOptions {
  readonly recursive?: boolean;
}

const DIGEST = 'its digest: HASH/SIZE';
const DIGEST_FUNCTION = ['--digest-function <name>', 'of the digests (default: sha256)'] as const;

/** `warren cas`: blobs, folders and the messages that actions are made of. */
export function configureCas(command: Command, context: CommandContext): void {
  const upload = command
    .command('upload')
    .description('upload files and folders; prints their digests, for a folder that of its root Directory')
    .argument('<path...>', 'files and folders')
    .option(...DIGEST_FUNCTION, parseDigestFunctionArgument)
    .action((paths: string[], options: UploadOptions) => uploadAction(paths, options, context));
  addExample(addRemoteOptions(upload), 'warren cas upload README.md src');

  const fetch = command
    .command('download')
    .description('download a file, or with --directory or --tree a folder')
    .argument('<digest>', DIGEST, parseDigestArgument)
    .argument('<target>', 'where to put it; - for a file to the standard output')
    .option('--directory', 'it is the digest of a root Directory')
    .option('--tree', 'it is the digest of a Tree, as in the results of actions')
    .option('--executable', 'make the file executable')
    .action((digest: Digest, target: string, options: DownloadOptions) =>
      downloadAction(digest, target, options, context),
    );
  addExample(
    addRemoteOptions(fetch),
    'warren cas download 9c56...61/14 hello.txt',
    'warren cas download --directory 4d3a...07/83 src-copy',
  );

  const digests = command
    .command('digest')
    .description('print digests of files and folders, without a server')
    .argument('<path...>', 'files and folders')
    .option(...DIGEST_FUNCTION, parseDigestFunctionArgument)
    .option('--json', 'print JSON for scripts')
    .action(async (paths: string[], options: DigestOptions) => {
      printDigests(await describePaths(paths, options.digestFunction, context.stop), options, context);
    });
  addExample(digests, 'warren cas digest README.md src');

  configureShow(command, context);
  addExample(command, 'warren cas upload src', 'warren cas show directory 4d3a...07/83');
}

function configureShow(command: Command, context: CommandContext): void {
  const show = command.command('show').description('show what a blob says');
  const kind = (name: string, summary: string) =>
    show.command(name).description(summary).argument('<digest>', DIGEST, parseDigestArgument);

  const action = kind('action', 'show an Action and its Command').action((digest: Digest, options: RemoteOptions) =>
    showAction(digest, options, context),
  );
  addExample(addRemoteOptions(action), 'warren cas show action 3b1f...e9/147');

  const shownCommand = kind('command', 'show a Command').action(async (digest: Digest, options: RemoteOptions) => {
    const message = await withRemote(options, context, ({ blobs }, signal) =>
      readMessage(blobs, digest, 'Command', (bytes) => ActionCommand.decode(bytes), signal),
    );
    if (options.json === true) printJson(context.stdout, presentCommand(message));
    else printLines(context.stdout, commandLines(message));
  });
  addExample(addRemoteOptions(shownCommand), 'warren cas show command 77aa...10/95');

  const directory = kind('directory', 'show a Directory; with --recursive all below it')
    .option('--recursive', 'everything below it, too')
    .action((digest: Digest, options: ShowOptions) => showDirectory(digest, options, context));
  addExample(addRemoteOptions(directory), 'warren cas show directory 4d3a...07/83 --recursive');

  const tree = kind('tree', 'show a Tree, as the results of actions name them').action(
    async (digest: Digest, options: RemoteOptions) => {
      const read = await withRemote(options, context, ({ blobs }, signal) => readTreeMessage(blobs, digest, signal));
      printTree(read, options, context);
    },
  );
  addExample(addRemoteOptions(tree), 'warren cas show tree 0d9e...52/412');
  addExample(show, 'warren cas show action 3b1f...e9/147');
}

/** A file or folder of this machine. */
interface DescribedPath {
  readonly path: string;
  readonly kind: 'file' | 'directory';
  readonly digest: Digest;
  readonly tree: LocalTree;
}

async function describePaths(
  paths: readonly string[],
  digestFunction: DigestFunction | undefined,
  signal: AbortSignal,
): Promise<DescribedPath[]> {
  const described: DescribedPath[] = [];
  for (const path of paths) {
    const builder = new LocalTreeBuilder(digestFunction ?? SHA256);
    const isFolder = (await stat(path).catch(() => undefined))?.isDirectory() === true;
    await builder.add(path, isFolder ? [] : ['file'], signal);
    if (isFolder) {
      const tree = await builder.build(signal);
      described.push({ path, kind: 'directory', digest: tree.rootDigest, tree });
    } else {
      const digest = await digestOfFile(path, digestFunction ?? SHA256);
      const blobs = new Map([[digestKey(digest), { digest, path }]]);
      const tree = { rootDigest: digest, blobs, files: 1, bytes: digest.sizeBytes };
      described.push({ path, kind: 'file', digest, tree });
    }
  }
  return described;
}

function printDigests(
  described: readonly DescribedPath[],
  options: { readonly json?: boolean },
  context: CommandContext,
): void {
  if (options.json !== true) {
    printLines(context.stdout, tableLines(described.map(({ digest, path }) => [digestKey(digest), path])));
    return;
  }
  printJson(
    context.stdout,
    described.map(({ path, kind, digest, tree }) => ({
      path,
      kind,
      digest: digestKey(digest),
      files: tree.files,
      bytes: tree.bytes,
    })),
  );
}

async function uploadAction(paths: readonly string[], options: UploadOptions, context: CommandContext): Promise<void> {
  const start = context.clock.monotonic();
  const described = await describePaths(paths, options.digestFunction, context.stop);
  const all = new Map(described.flatMap(({ tree }) => [...tree.blobs]));
  const progress = newTransferProgress();
  const status = new StatusLine(context.stderr, context.clock);
  status.show(() => `uploading ${transferText(progress)}`);
  try {
    await withRemote(options, context, ({ blobs }, signal) => uploadOutputs(blobs, all, progress, signal));
  } finally {
    status.clear();
  }
  printDigests(described, options, context);
  const there = all.size - progress.totalBlobs;
  const took = formatDuration(context.clock.monotonic() - start);
  if (options.json !== true) {
    context.stderr.write(`uploaded ${transferredText(progress)} in ${took}; ${there} were there already\n`);
  }
}

async function downloadAction(
  digest: Digest,
  target: string,
  options: DownloadOptions,
  context: CommandContext,
): Promise<void> {
  if (options.directory === true && options.tree === true) {
    throw new CommandFailure(ExitCode.USAGE, '--directory and --tree exclude each other');
  }
  const isFolder = options.directory === true || options.tree === true;
  if (target === '-' && isFolder) throw new CommandFailure(ExitCode.USAGE, 'a folder needs a target other than -');
  const start = context.clock.monotonic();
  const progress = newTransferProgress();
  const status = new StatusLine(context.stderr, context.clock);
  if (target !== '-') status.show(() => `downloading ${transferText(progress)}`);
  try {
    await withRemote(options, context, async ({ blobs }, signal) => {
      const kind = options.tree === true ? 'tree' : isFolder ? 'directory' : 'file';
      const wish = { digest, kind, executable: options.executable === true } as const;
      await downloadTo(blobs, wish, target, context.stdout, progress, signal);
    });
  } finally {
    status.clear();
  }
  const took = context.clock.monotonic() - start;
  if (options.json === true && target !== '-') {
    printJson(context.stdout, { target, blobs: progress.totalBlobs, bytes: progress.totalBytes });
  } else if (target !== '-') {
    context.stderr.write(`downloaded ${transferredText(progress)} to ${target} in ${formatDuration(took)}\n`);
  }
}

async function showAction(digest: Digest, options: RemoteOptions, context: CommandContext): Promise<void> {
  const { action, command } = await withRemote(options, context, async ({ blobs }, signal) => {
    const action = await readMessage(blobs, digest, 'Action', (bytes) => Action.decode(bytes), signal);
    const { commandDigest } = action;
    if (commandDigest === undefined) {
      throw new CommandFailure(ExitCode.FAILURE, `blob ${digestKey(digest)} is no Action`);
    }
    const at = digestFromWire(commandDigest, digest.digestFunction, 'command_digest');
    const [missing] = await blobs.findMissing([at], signal);
    const command =
      missing === undefined
        ? await readMessage(blobs, at, 'Command', (bytes) => ActionCommand.decode(bytes), signal)
        : undefined;
    return { action, command };
  });
  if (options.json === true) {
    const shown = command === undefined ? undefined : presentCommand(command);
    printJson(context.stdout, { ...presentAction(action), command: shown });
  } else {
    printLines(context.stdout, actionLines(action));
    printLines(context.stdout, command === undefined ? ['(its Command is not stored)'] : commandLines(command));
  }
}

async function showDirectory(digest: Digest, options: ShowOptions, context: CommandContext): Promise<void> {
  if (options.recursive === true) {
    const tree = await withRemote(options, context, ({ blobs }, signal) => readDirectoryTree(blobs, digest, signal));
    printTree(tree, options, context);
    return;
  }
  const directory = await withRemote(options, context, ({ blobs }, signal) =>
    readMessage(
      blobs,
      digest,
      'Directory',
      (bytes) => decodeDirectory(bytes, digest.digestFunction, 'directory'),
      signal,
    ),
  );
  if (options.json === true) printJson(context.stdout, presentDirectory(directory));
  else printLines(context.stdout, directoryLines(directory));
}

function printTree(tree: Tree, options: RemoteOptions, context: CommandContext): void {
  const wanted = newWantedNodes();
  addTree(wanted, tree, '');
  const directories = wanted.directories.filter((path) => path !== '');
  if (options.json === true) {
    const files = wanted.files.map(({ path, digest, executable }) => ({ path, digest: digestKey(digest), executable }));
    printJson(context.stdout, {
      rootDigest: digestKey(tree.rootDigest),
      directories,
      files,
      symlinks: wanted.symlinks,
    });
    return;
  }
  const rows = [
    ...directories.map((path) => [`${printable(path)}/`, '']),
    ...wanted.files.map(({ path, digest, executable }) => [
      `${printable(path)}${executable ? '*' : ''}`,
      digestKey(digest),
    ]),
    ...wanted.symlinks.map(({ path, target }) => [printable(path), `-> ${printable(target)}`]),
  ];
  printLines(context.stdout, tableLines(rows.sort(([a = ''], [b = '']) => (a < b ? -1 : 1))));
}
