import { compareCodePoints } from '../lib/code-point-order.ts';
import { type Digest, digestKey } from './digest.ts';
import type { Property } from './platform.ts';
import { invalidArgument } from './status-error.ts';

/** What may be kept of a node beside its content. */
export interface NodeProperties {
  readonly properties: readonly Property[];
  /** Time of last modification, to the nanosecond. */
  readonly mtime?: { readonly seconds: bigint; readonly nanos: number } | undefined;
  /** The mode of a file under Unix, such as 0o755. */
  readonly unixMode?: number | undefined;
}

export interface FileNode {
  readonly name: string;
  readonly digest: Digest;
  readonly isExecutable: boolean;
  readonly nodeProperties?: NodeProperties | undefined;
}

export interface DirectoryNode {
  readonly name: string;
  /** Of the encoded Directory. */
  readonly digest: Digest;
}

export interface SymlinkNode {
  readonly name: string;
  /** Relative to the symlink's own directory, or absolute. May lead out of the tree: whoever follows it must check. */
  readonly target: string;
  readonly nodeProperties?: NodeProperties | undefined;
}

/** One node of a Merkle tree of files: REAPI's Directory, with digests whose form is checked. */
export interface Directory {
  readonly files: readonly FileNode[];
  readonly directories: readonly DirectoryNode[];
  readonly symlinks: readonly SymlinkNode[];
  readonly nodeProperties?: NodeProperties | undefined;
}

/** The directory that holds nothing. Its encoding is the empty blob. */
export const EMPTY_DIRECTORY: Directory = { files: [], directories: [], symlinks: [] };

/** The greatest length of a node's name in bytes of UTF-8: what file systems take. */
const MAX_NODE_NAME_BYTES = 255;

/** The greatest length of a symlink's target in bytes of UTF-8: what Linux takes. */
const MAX_SYMLINK_TARGET_BYTES = 4_095;

/** How far a tree may reach. A few kilobytes of Directories can stand for a tree of astronomic size. */
export interface TreeLimits {
  /** Directories below one another, the root counting as 1. Defaults to 256. */
  readonly maxDepth: number;
  /** Directories, counted at each place where they occur. Defaults to 1 000 000. */
  readonly maxDirectories: number;
  /** Files and symlinks, counted at each place where they occur. Defaults to 5 000 000. */
  readonly maxFiles: number;
}

export const DEFAULT_TREE_LIMITS: TreeLimits = { maxDepth: 256, maxDirectories: 1_000_000, maxFiles: 5_000_000 };

/**
 * Checks the names of a directory's nodes: each a single segment that is safe as a name of a file, each once among
 * files, directories and symlinks together.
 *
 * Whoever writes a tree to a file system relies on this: a name that passes can't lead out of its directory.
 *
 * @param field what the directory is, for messages, such as `input_root_digest`.
 * @throws INVALID_ARGUMENT
 */
export function checkNodeNames(directory: Directory, field: string): void {
  const names = new Set<string>();
  const check = (name: string, kind: string) => {
    checkNodeName(name, `${field}.${kind}`);
    if (names.has(name)) throw invalidArgument(`${field}.${kind}`, `the name ${quote(name)} occurs twice`);
    names.add(name);
  };
  for (const { name } of directory.files) check(name, 'files.name');
  for (const { name } of directory.directories) check(name, 'directories.name');
  for (const { name, target } of directory.symlinks) {
    check(name, 'symlinks.name');
    checkSymlinkTarget(target, `${field}.symlinks.target`);
  }
}

/**
 * Checks that a directory has the one form that REAPI allows, so that equal directories have equal digests:
 * `checkNodeNames`, and files, directories, symlinks and node properties each sorted.
 *
 * @throws INVALID_ARGUMENT
 */
export function checkCanonicalDirectory(directory: Directory, field: string): void {
  checkNodeNames(directory, field);
  checkSorted(directory.files, `${field}.files`);
  checkSorted(directory.directories, `${field}.directories`);
  checkSorted(directory.symlinks, `${field}.symlinks`);
  checkProperties(directory.nodeProperties, field);
  for (const file of directory.files) checkProperties(file.nodeProperties, `${field}.files`);
  for (const symlink of directory.symlinks) checkProperties(symlink.nodeProperties, `${field}.symlinks`);
}

/** @throws INVALID_ARGUMENT when the name is not one that every file system takes as a single segment. */
function checkNodeName(name: string, field: string): void {
  if (name === '') throw invalidArgument(field, 'a name is empty');
  if (name === '.' || name === '..') throw invalidArgument(field, `the name ${quote(name)} is not allowed`);
  if (name.includes('/')) throw invalidArgument(field, `the name ${quote(name)} holds a slash`);
  if (name.includes('\0')) throw invalidArgument(field, `the name ${quote(name)} holds a NUL character`);
  if (name.length * 3 > MAX_NODE_NAME_BYTES && Buffer.byteLength(name) > MAX_NODE_NAME_BYTES) {
    throw invalidArgument(field, `the name ${quote(name)} is longer than ${MAX_NODE_NAME_BYTES} bytes`);
  }
}

function checkSymlinkTarget(target: string, field: string): void {
  if (target === '') throw invalidArgument(field, 'a target is empty');
  if (target.includes('\0')) throw invalidArgument(field, `the target ${quote(target)} holds a NUL character`);
  if (target.length * 3 > MAX_SYMLINK_TARGET_BYTES && Buffer.byteLength(target) > MAX_SYMLINK_TARGET_BYTES) {
    throw invalidArgument(field, `the target ${quote(target)} is longer than ${MAX_SYMLINK_TARGET_BYTES} bytes`);
  }
}

function checkSorted(nodes: ReadonlyArray<{ readonly name: string }>, field: string): void {
  for (let i = 1; i < nodes.length; i++) {
    const before = (nodes[i - 1] as { name: string }).name;
    const { name } = nodes[i] as { name: string };
    if (compareCodePoints(before, name) > 0) {
      throw invalidArgument(field, `not sorted by name: ${quote(name)} comes after ${quote(before)}`);
    }
  }
}

function checkProperties(nodeProperties: NodeProperties | undefined, field: string): void {
  if (nodeProperties !== undefined) {
    checkSorted(nodeProperties.properties, `${field}.node_properties.properties`);
  }
}

/** A name as it may stand in a message: cut, and without control characters. */
function quote(text: string): string {
  const shown = text.length > 80 ? `${text.slice(0, 80)}...` : text;
  return JSON.stringify(shown);
}

/** A Tree: a directory and all below it, in one message. */
export interface Tree {
  readonly root: Directory;
  readonly rootDigest: Digest;
  /** Root and children by `digestKey` of their encodings. */
  readonly directories: ReadonlyMap<string, Directory>;
}

/**
 * Checks that every directory that a tree names is in it, that names are safe (`checkNodeNames`), and that it keeps the
 * limits. A cycle can't be written: it would need a hash that holds itself.
 *
 * The limits are those of the tree as it unfolds; since equal directories are stored once, it is counted without being
 * walked: each directory's counts are computed once.
 *
 * @throws INVALID_ARGUMENT
 */
export function checkTree(tree: Tree, field: string, limits: TreeLimits = DEFAULT_TREE_LIMITS): void {
  const measured = new Map<string, TreeMeasure>();
  const measure = (directory: Directory, depth: number): TreeMeasure => {
    if (depth > limits.maxDepth) throw invalidArgument(field, `more than ${limits.maxDepth} directories deep`);
    checkNodeNames(directory, field);
    let height = 1;
    let directories = 1;
    let files = directory.files.length + directory.symlinks.length;
    for (const node of directory.directories) {
      const key = digestKey(node.digest);
      let below = measured.get(key);
      if (below === undefined) {
        const child = tree.directories.get(key);
        if (child === undefined) {
          throw invalidArgument(field, `the directory ${quote(node.name)} with digest ${key} is not in the tree`);
        }
        below = measure(child, depth + 1);
        measured.set(key, below);
      }
      height = Math.max(height, below.height + 1);
      directories += below.directories;
      files += below.files;
    }
    if (depth + height - 1 > limits.maxDepth) {
      throw invalidArgument(field, `more than ${limits.maxDepth} directories deep`);
    }
    if (directories > limits.maxDirectories) {
      throw invalidArgument(field, `more than ${limits.maxDirectories} directories`);
    }
    if (files > limits.maxFiles) throw invalidArgument(field, `more than ${limits.maxFiles} files and symlinks`);
    return { height, directories, files };
  };
  measure(tree.root, 1);
}

interface TreeMeasure {
  readonly height: number;
  readonly directories: number;
  readonly files: number;
}
