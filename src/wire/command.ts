import { invalidArgument } from '../domain/status-error.ts';
import type { Command } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';

/**
 * Node properties that workers lay out with inputs, and report on outputs where a Command asks: fields of
 * NodeProperties. Capabilities names them.
 */
export const NODE_PROPERTIES: readonly string[] = ['mtime', 'unix_mode'];

/** The largest Action and Command that a server reads, in bytes: what fits into one message. */
export const MAX_ACTION_BYTES = 4 * 1024 * 1024;

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
  const depth = depthOf(command.workingDirectory);
  for (const path of command.outputPaths) checkOutputPath(path, depth, 'command.output_paths');
  if (command.outputPaths.length > 0) return;
  for (const path of command.outputFiles) {
    if (path === '') throw invalidArgument('command.output_files', 'holds an empty path');
    checkOutputPath(path, depth, 'command.output_files');
  }
  for (const path of command.outputDirectories) checkOutputPath(path, depth, 'command.output_directories');
  const files = new Set(command.outputFiles);
  for (const path of command.outputDirectories) {
    if (files.has(path)) {
      throw invalidArgument('command.output_directories', `${shown(path)} is among the output files, too`);
    }
  }
}

/** How many directories `..` may climb from a working directory. @param workingDirectory of a Command that was checked. */
export function depthOf(workingDirectory: string): number {
  return workingDirectory === '' ? 0 : workingDirectory.split('/').length;
}

/**
 * Checks the path of an output, which starts at the working directory. It may climb above it (`..`), as BuildStream's do, but
 * not out of the input root; empty or `.` is the working directory itself.
 *
 * @param depth of the working directory below the input root.
 * @throws INVALID_ARGUMENT that names the field.
 */
export function checkOutputPath(path: string, depth: number, field: string): void {
  if (path === '') return;
  checkRelative(path, field);
  let above = depth;
  for (const segment of path.split('/')) {
    if (segment === '') throw invalidArgument(field, `${shown(path)} has an empty segment`);
    if (Buffer.byteLength(segment) > 255) throw invalidArgument(field, 'a segment is longer than 255 bytes');
    if (segment === '..') above -= 1;
    else if (segment !== '.') above += 1;
    if (above < 0) throw invalidArgument(field, `${shown(path)} leads out of the input root`);
  }
}

/** A path that stays below where it starts: relative, no `.`, `..` or empty segment. */
function checkPath(path: string, field: string): void {
  checkRelative(path, field);
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.' || segment === '..') {
      throw invalidArgument(field, `${shown(path)} has the segment ${shown(segment)}`);
    }
    if (Buffer.byteLength(segment) > 255) throw invalidArgument(field, 'a segment is longer than 255 bytes');
  }
}

function checkRelative(path: string, field: string): void {
  checkNoNul(path, field);
  if (path.startsWith('/')) throw invalidArgument(field, `${shown(path)} is absolute; paths are relative`);
}

function checkNoNul(text: string, field: string): void {
  if (text.includes('\0')) throw invalidArgument(field, 'holds a NUL character');
}

/** Text of a client as it may stand in a message: quoted, and not too much of it. */
function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
