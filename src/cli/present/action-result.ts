import { formatDuration } from '../../lib/format-duration.ts';
import type {
  ActionResult,
  ExecutedActionMetadata,
} from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { timestampToMilliseconds } from '../../wire/time.ts';
import { fieldLines, printable } from '../printing.ts';
import { presentDigest, presentTime } from './values.ts';

/** What an action left behind, as JSON. */
export function presentActionResult(result: ActionResult) {
  return {
    exitCode: result.exitCode,
    outputFiles: result.outputFiles.map(({ path, digest, isExecutable }) => ({
      path,
      digest: presentDigest(digest),
      executable: isExecutable,
    })),
    outputDirectories: result.outputDirectories.map(({ path, treeDigest, rootDirectoryDigest }) => ({
      path,
      treeDigest: presentDigest(treeDigest),
      rootDirectoryDigest: presentDigest(rootDirectoryDigest),
    })),
    outputSymlinks: symlinksOf(result).map(({ path, target }) => ({ path, target })),
    stdout: presentStream(result.stdoutRaw, presentDigest(result.stdoutDigest)),
    stderr: presentStream(result.stderrRaw, presentDigest(result.stderrDigest)),
    metadata: presentMetadata(result.executionMetadata),
  };
}

/** Symlinks in the field of today and those of before, each once. */
export function symlinksOf(result: ActionResult): Array<{ path: string; target: string }> {
  const byPath = new Map<string, { path: string; target: string }>();
  const { outputSymlinks, outputFileSymlinks, outputDirectorySymlinks } = result;
  for (const each of [...outputFileSymlinks, ...outputDirectorySymlinks, ...outputSymlinks])
    byPath.set(each.path, each);
  return [...byPath.values()];
}

function presentStream(raw: Buffer, digest: string | undefined) {
  if (digest === undefined && raw.byteLength === 0) return undefined;
  return { digest, text: raw.byteLength === 0 ? undefined : raw.toString('utf8') };
}

/** When what was done, as JSON. */
export function presentMetadata(metadata: ExecutedActionMetadata | undefined) {
  if (metadata === undefined) return undefined;
  return {
    worker: metadata.worker,
    queued: presentTime(metadata.queuedTimestamp),
    workerStart: presentTime(metadata.workerStartTimestamp),
    inputFetchStart: presentTime(metadata.inputFetchStartTimestamp),
    inputFetchCompleted: presentTime(metadata.inputFetchCompletedTimestamp),
    executionStart: presentTime(metadata.executionStartTimestamp),
    executionCompleted: presentTime(metadata.executionCompletedTimestamp),
    outputUploadStart: presentTime(metadata.outputUploadStartTimestamp),
    outputUploadCompleted: presentTime(metadata.outputUploadCompletedTimestamp),
    workerCompleted: presentTime(metadata.workerCompletedTimestamp),
  };
}

/** The stages of an action with how long each took, in order; those that are not known are left out. */
export function phasesOf(metadata: ExecutedActionMetadata | undefined): Array<[name: string, milliseconds: number]> {
  if (metadata === undefined) return [];
  const phases: Array<[string, number]> = [];
  const add = (name: string, from: ReturnType<typeof timestampToMilliseconds>, to: typeof from) => {
    if (from !== undefined && to !== undefined && to >= from) phases.push([name, to - from]);
  };
  const at = timestampToMilliseconds;
  add('waited in the queue', at(metadata.queuedTimestamp), at(metadata.workerStartTimestamp));
  add('staged inputs', at(metadata.inputFetchStartTimestamp), at(metadata.inputFetchCompletedTimestamp));
  add('ran', at(metadata.executionStartTimestamp), at(metadata.executionCompletedTimestamp));
  add('stored outputs', at(metadata.outputUploadStartTimestamp), at(metadata.outputUploadCompletedTimestamp));
  return phases;
}

/** What an action left behind, for people. */
export function actionResultLines(result: ActionResult): string[] {
  const { outputFiles, outputDirectories, executionMetadata } = result;
  return [
    ...fieldLines([
      ['exit code', String(result.exitCode)],
      ['worker', printable(executionMetadata?.worker ?? '')],
      ...phasesOf(executionMetadata).map(([name, milliseconds]) => [name, formatDuration(milliseconds)] as const),
      ['stdout', streamText(result.stdoutRaw, presentDigest(result.stdoutDigest))],
      ['stderr', streamText(result.stderrRaw, presentDigest(result.stderrDigest))],
    ]),
    ...(outputFiles.length + outputDirectories.length === 0 ? [] : ['outputs']),
    ...fieldLines([
      ...outputFiles.map(({ path, digest }) => [`  ${printable(path)}`, presentDigest(digest)] as const),
      ...outputDirectories.map(
        ({ path, treeDigest, rootDirectoryDigest }) =>
          [`  ${printable(path)}/`, presentDigest(treeDigest) ?? presentDigest(rootDirectoryDigest)] as const,
      ),
      ...symlinksOf(result).map(({ path, target }) => [`  ${printable(path)}`, `-> ${printable(target)}`] as const),
    ]),
  ];
}

function streamText(raw: Buffer, digest: string | undefined): string | undefined {
  if (digest !== undefined) return digest;
  return raw.byteLength === 0 ? undefined : `${raw.byteLength} bytes, inline`;
}
