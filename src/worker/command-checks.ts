import type { Command } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { checkCommandForm } from '../wire/command.ts';

/** What a Command asks to be reported: its paths checked, each once. */
export interface RequestedOutputs {
  /** `paths` when `output_paths` is used; else the fields of before version 2.1, told apart by kind. */
  readonly style: 'paths' | 'files-and-directories';
  readonly paths: ReadonlyArray<{ readonly path: string; readonly kind: 'any' | 'file' | 'directory' }>;
  readonly mtime: boolean;
  readonly unixMode: boolean;
}

/**
 * Checks what a Command says before anything is done for it.
 *
 * @throws INVALID_ARGUMENT that names the field.
 */
export function checkCommand(command: Command): RequestedOutputs {
  checkCommandForm(command);
  return {
    ...requestedPaths(command),
    mtime: command.outputNodeProperties.includes('mtime'),
    unixMode: command.outputNodeProperties.includes('unix_mode'),
  };
}

function requestedPaths(command: Command): Pick<RequestedOutputs, 'style' | 'paths'> {
  if (command.outputPaths.length > 0) {
    return { style: 'paths', paths: [...new Set(command.outputPaths)].map((path) => ({ path, kind: 'any' as const })) };
  }
  return {
    style: 'files-and-directories',
    paths: [
      ...[...new Set(command.outputFiles)].map((path) => ({ path, kind: 'file' as const })),
      ...[...new Set(command.outputDirectories)].map((path) => ({ path, kind: 'directory' as const })),
    ],
  };
}
