import { isAbsolute, relative, resolve } from 'node:path';
import { type Digest, digestKey, digestOf } from '../../domain/digest.ts';
import { type DigestFunction, SHA256 } from '../../domain/digest-function.ts';
import { compareCodePoints } from '../../lib/code-point-order.ts';
import {
  Action,
  Command,
  Command_OutputDirectoryFormat,
} from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestToWire } from '../../wire/digest.ts';
import { durationFromMilliseconds } from '../../wire/time.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import type { LocalBlob } from '../local-blobs.ts';
import { type LocalTree, LocalTreeBuilder } from '../local-tree.ts';

/** What a person asked to be run. */
export interface CommandRequest {
  readonly arguments: readonly string[];
  /** `PATH` or `PATH=TARGET`. */
  readonly inputs: readonly string[];
  /** Paths below the working directory. */
  readonly outputs: readonly string[];
  readonly platform: ReadonlyArray<{ readonly name: string; readonly value: string }>;
  readonly environment: ReadonlyArray<{ readonly name: string; readonly value: string }>;
  /** Below the input root; empty for the root itself. */
  readonly workingDirectory: string;
  readonly timeoutMilliseconds: number | undefined;
  /** Of every digest of the action. Defaults to SHA-256. */
  readonly digestFunction?: DigestFunction | undefined;
}

/** The action, and every blob that the server must have to run it. */
export interface PreparedAction {
  readonly actionDigest: Digest;
  readonly blobs: ReadonlyMap<string, LocalBlob>;
  readonly tree: LocalTree;
}

/**
 * Makes an Action of a command line: equal requests on equal files give equal digests, on whatever machine.
 *
 * @param folder what relative inputs are relative to.
 * @throws CommandFailure where an input can't be read or a path leads out of the input root.
 */
export async function prepareAction(
  request: CommandRequest,
  folder: string,
  signal: AbortSignal,
): Promise<PreparedAction> {
  const { digestFunction = SHA256 } = request;
  const builder = new LocalTreeBuilder(digestFunction);
  for (const input of request.inputs) {
    const { path, target } = parseInput(input, folder);
    await builder.add(path, target, signal);
  }
  const workingDirectory = segmentsOf(request.workingDirectory, '--working-directory');
  if (workingDirectory.length > 0) builder.addFolder(workingDirectory);
  const tree = await builder.build(signal);
  const blobs = new Map(tree.blobs);
  const keep = (data: Uint8Array): Digest => {
    const digest = digestOf(data, digestFunction);
    blobs.set(digestKey(digest), { digest, data });
    return digest;
  };
  const properties = [...request.platform].sort(
    (a, b) => compareCodePoints(a.name, b.name) || compareCodePoints(a.value, b.value),
  );
  const platform = properties.length === 0 ? undefined : { properties };
  const commandDigest = keep(
    Command.encode({
      arguments: [...request.arguments],
      environmentVariables: [...request.environment].sort((a, b) => compareCodePoints(a.name, b.name)),
      outputFiles: [],
      outputDirectories: [],
      outputPaths: outputPaths(request.outputs),
      platform,
      workingDirectory: workingDirectory.join('/'),
      outputNodeProperties: [],
      outputDirectoryFormat: Command_OutputDirectoryFormat.TREE_ONLY,
    }).finish(),
  );
  const actionDigest = keep(
    Action.encode({
      commandDigest: digestToWire(commandDigest),
      inputRootDigest: digestToWire(tree.rootDigest),
      timeout:
        request.timeoutMilliseconds === undefined ? undefined : durationFromMilliseconds(request.timeoutMilliseconds),
      doNotCache: false,
      salt: Buffer.alloc(0),
      platform,
    }).finish(),
  );
  return { actionDigest, blobs, tree };
}

/** Where an input lies, and where it goes: at the place that it has below the folder, or at its name. */
function parseInput(input: string, folder: string): { path: string; target: readonly string[] } {
  const equals = input.lastIndexOf('=');
  const named = equals > 0 ? input.slice(equals + 1) : undefined;
  const path = resolve(folder, named === undefined ? input : input.slice(0, equals));
  if (named !== undefined) return { path, target: segmentsOf(named, `--input ${input}`) };
  const below = relative(folder, path);
  const isBelow = !isAbsolute(below) && below !== '..' && !below.startsWith('../');
  return { path, target: isBelow ? segmentsOf(below, '--input') : path.split('/').slice(-1) };
}

function outputPaths(outputs: readonly string[]): string[] {
  const paths = outputs.map((each) => {
    const path = segmentsOf(each, `--output ${each}`).join('/');
    if (path === '')
      throw new CommandFailure(ExitCode.USAGE, '--output: name a file or a folder below the working directory');
    return path;
  });
  return [...new Set(paths)].sort(compareCodePoints);
}

/** The segments of a path below the input root. @throws CommandFailure where it leads out. */
function segmentsOf(path: string, option: string): string[] {
  const segments = path.split('/').filter((each) => each !== '' && each !== '.');
  if (path.startsWith('/') || segments.includes('..')) {
    const message = `${option}: '${path}' leads out of the input root; paths in it are relative and without '..'`;
    throw new CommandFailure(ExitCode.USAGE, message);
  }
  return segments;
}
