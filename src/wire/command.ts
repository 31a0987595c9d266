import { invalidArgument } from '../domain/status-error.ts';
import type { Command } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';

/**
 * Node properties that workers lay out with inputs, and report on outputs where a Command asks: fields of
 * NodeProperties. Capabilities names them.
 */
export const NODE_PROPERTIES: readonly string[] = ['mtime', 'unix_mode'];

/**
 * Checks that a Command can be run at all, whoever runs it: that it names a program, that nothing holds a NUL, that no
 * path leads out of the input root, and that it asks for no node property that is not known.
 *
 * The server does so before it takes a job, so that a client hears at once and no bot is bothered; the worker does so
 * again, since it trusts no server.
 *
 * @throws INVALID_ARGUMENT that names the field.
 */
export function checkCommandForm(command: Command): void {
  if (command.arguments.length === 0 || command.arguments[0] === '') {
    throw invalidArgument('command.arguments', 'names no program');
  }
  for (const argument of command.arguments) checkNoNul(argument, 'command.arguments');
  for (const { name, value } of command.environmentVariables) {
    if (name === '' || name.includes('=')) {
      throw invalidArgument('command.environment_variables.name', `${shown(name)} can't be a variable's name`);
    }
    checkNoNul(name, 'command.environment_variables.name');
    checkNoNul(value, 'command.environment_variables.value');
  }
  for (const property of command.outputNodeProperties) {
    if (!NODE_PROPERTIES.includes(property)) {
      const known = NODE_PROPERTIES.join(', ');
      throw invalidArgument('command.output_node_properties', `${shown(property)} is not known; there are ${known}`);
    }
  }
  if (command.workingDirectory !== '') checkPath(command.workingDirectory, 'command.working_directory');
  for (const path of command.outputPaths) if (path !== '') checkPath(path, 'command.output_paths');
  if (command.outputPaths.length > 0) return;
  for (const path of command.outputFiles) checkPath(path, 'command.output_files');
  for (const path of command.outputDirectories) if (path !== '') checkPath(path, 'command.output_directories');
  const files = new Set(command.outputFiles);
  for (const path of command.outputDirectories) {
    if (files.has(path)) {
      throw invalidArgument('command.output_directories', `${shown(path)} is among the output files, too`);
    }
  }
}

/** A path that stays below where it starts: relative, no `.`, `..` or empty segment. */
function checkPath(path: string, field: string): void {
  checkNoNul(path, field);
  if (path.startsWith('/')) throw invalidArgument(field, `${shown(path)} is absolute; paths are relative`);
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.' || segment === '..') {
      throw invalidArgument(field, `${shown(path)} has the segment ${shown(segment)}`);
    }
    if (Buffer.byteLength(segment) > 255) throw invalidArgument(field, 'a segment is longer than 255 bytes');
  }
}

function checkNoNul(text: string, field: string): void {
  if (text.includes('\0')) throw invalidArgument(field, 'holds a NUL character');
}

/** Text of a client as it may stand in a message: quoted, and not too much of it. */
function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
