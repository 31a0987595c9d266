import { digestKey } from '../../domain/digest.ts';
import type { Directory } from '../../domain/merkle-tree.ts';
import type { Action, Command } from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { fieldLines, printable } from '../printing.ts';
import { presentDigest, presentPlatform, presentSeconds, propertiesText } from './values.ts';

/** An Action, as JSON. */
export function presentAction(action: Action) {
  return {
    commandDigest: presentDigest(action.commandDigest),
    inputRootDigest: presentDigest(action.inputRootDigest),
    timeoutSeconds: presentSeconds(action.timeout),
    doNotCache: action.doNotCache,
    salt: action.salt.byteLength === 0 ? undefined : action.salt.toString('base64'),
    platform: presentPlatform(action.platform),
  };
}

/** An Action, for people. */
export function actionLines(action: Action): string[] {
  const { commandDigest, inputRootDigest, timeoutSeconds, doNotCache, salt, platform } = presentAction(action);
  return fieldLines([
    ['command', commandDigest],
    ['input root', inputRootDigest],
    ['timeout', timeoutSeconds === undefined ? undefined : `${timeoutSeconds} s`],
    ['cached', doNotCache ? 'no' : 'yes'],
    ['salt', salt],
    ['platform', propertiesText(platform)],
  ]);
}

/** A Command, as JSON. */
export function presentCommand(command: Command) {
  return {
    arguments: command.arguments,
    environment: command.environmentVariables.map(({ name, value }) => ({ name, value })),
    workingDirectory: command.workingDirectory,
    outputPaths: command.outputPaths,
    outputFiles: command.outputFiles,
    outputDirectories: command.outputDirectories,
    outputNodeProperties: command.outputNodeProperties,
    platform: presentPlatform(command.platform),
  };
}

/** A Command, for people: its arguments as a shell would take them. */
export function commandLines(command: Command): string[] {
  const presented = presentCommand(command);
  const outputs = [...presented.outputPaths, ...presented.outputFiles, ...presented.outputDirectories];
  return fieldLines([
    ['command', printable(shellText(presented.arguments))],
    ['folder', presented.workingDirectory],
    ...presented.environment.map(({ name, value }) => ['variable', printable(`${name}=${value}`)] as const),
    ...outputs.map((path) => ['output', printable(path)] as const),
    ['platform', propertiesText(presented.platform)],
  ]);
}

/** A Directory, as JSON. */
export function presentDirectory(directory: Directory) {
  return {
    directories: directory.directories.map(({ name, digest }) => ({ name, digest: digestKey(digest) })),
    files: directory.files.map(({ name, digest, isExecutable }) => ({
      name,
      digest: digestKey(digest),
      executable: isExecutable,
    })),
    symlinks: directory.symlinks.map(({ name, target }) => ({ name, target })),
  };
}

/** A Directory for people, a line for each node: a mark for executables, the name, the digest. */
export function directoryLines(directory: Directory): string[] {
  return fieldLines([
    ...directory.directories.map(({ name, digest }) => [`${printable(name)}/`, digestKey(digest)] as const),
    ...directory.files.map(
      ({ name, digest, isExecutable }) => [`${printable(name)}${isExecutable ? '*' : ''}`, digestKey(digest)] as const,
    ),
    ...directory.symlinks.map(({ name, target }) => [printable(name), `-> ${printable(target)}`] as const),
  ]);
}

/** Arguments as a POSIX shell would have to be given them. */
function shellText(parts: readonly string[]): string {
  return parts.map((each) => (/^[\w@%+=:,./-]+$/.test(each) ? each : `'${each.replaceAll("'", "'\\''")}'`)).join(' ');
}
