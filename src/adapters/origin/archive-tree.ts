import type { Digest } from '../../domain/digest.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { OriginError } from '../../ports/origin.ts';

/** How far an archive may reach: a few kilobytes can stand for a folder of astronomic size. */
export interface ArchiveTreeLimits {
  /** Files, folders and symlinks, those folders included that are named only by what is in them. */
  readonly maximumEntries: number;
}

/** Folders below one another, the root counting as 1: what the rest of the server reads. */
const MAX_DEPTH = 256;
const MAX_NAME_BYTES = 255;
/** Of a path and of a symlink's target: what Linux takes. */
const MAX_PATH_BYTES = 4_095;
/** All names and targets together, which are held in memory. */
const MAX_TEXT_BYTES = 64 * 1024 * 1024;

export interface ArchiveFile {
  readonly kind: 'file';
  readonly digest: Digest;
  readonly isExecutable: boolean;
}

export interface ArchiveSymlink {
  readonly kind: 'symlink';
  readonly target: string;
}

export interface ArchiveFolder {
  readonly kind: 'folder';
  readonly nodes: Map<string, ArchiveNode>;
}

export type ArchiveNode = ArchiveFile | ArchiveSymlink | ArchiveFolder;

/**
 * What an archive holds, by path. Symlinks are never followed: an entry below one is refused, so that no entry can
 * stand anywhere else than its name says.
 */
export class ArchiveTree {
  readonly root: ArchiveFolder = { kind: 'folder', nodes: new Map() };
  readonly #limits: ArchiveTreeLimits;
  #entries = 0;
  #textBytes = 0;

  constructor(limits: ArchiveTreeLimits) {
    this.#limits = limits;
  }

  /** A folder, which may be known already. @throws OriginError ABORTED or RESOURCE_EXHAUSTED. */
  addFolder(path: string): void {
    this.#folderAt(segmentsOf(path), path);
  }

  /**
   * A place that nothing stands at yet.
   *
   * @returns what puts it there. @throws OriginError ABORTED or RESOURCE_EXHAUSTED.
   */
  claim(path: string): (node: ArchiveFile | ArchiveSymlink) => void {
    const segments = segmentsOf(path);
    const name = segments.pop();
    if (name === undefined || path.endsWith('/')) throw aborted(`${quote(path)} is a folder's name and no folder`);
    const { nodes } = this.#folderAt(segments, path);
    if (nodes.has(name)) throw aborted(`${quote(path)} is in it twice`);
    this.#count(name);
    return (node) => {
      if (node.kind === 'symlink') this.#countText(node.target);
      nodes.set(name, node);
    };
  }

  /** The file that a hard link stands for. @throws OriginError ABORTED where there is none before it. */
  fileAt(path: string, link: string): ArchiveFile {
    const node = this.find(segmentsOf(path));
    if (node?.kind === 'file') return node;
    throw aborted(`the hard link ${quote(link)} is to ${quote(path)}, which is no file before it`);
  }

  /** What stands at a path; undefined for nothing. */
  find(segments: readonly string[]): ArchiveNode | undefined {
    let node: ArchiveNode | undefined = this.root;
    for (const segment of segments) node = node?.kind === 'folder' ? node.nodes.get(segment) : undefined;
    return node;
  }

  #folderAt(segments: readonly string[], path: string): ArchiveFolder {
    if (segments.length >= MAX_DEPTH) throw exhausted(`${quote(path)} is more than ${MAX_DEPTH} folders deep`);
    let folder = this.root;
    for (const segment of segments) {
      let next = folder.nodes.get(segment);
      if (next === undefined) {
        this.#count(segment);
        next = { kind: 'folder', nodes: new Map() };
        folder.nodes.set(segment, next);
      }
      if (next.kind !== 'folder') throw aborted(`${quote(path)}: ${quote(segment)} is in it as a ${next.kind}, too`);
      folder = next;
    }
    return folder;
  }

  #count(name: string): void {
    this.#entries += 1;
    if (this.#entries > this.#limits.maximumEntries) {
      throw exhausted(`more than ${this.#limits.maximumEntries} files and folders: assets.fetch.maximumEntries`);
    }
    this.#countText(name);
  }

  #countText(text: string): void {
    this.#textBytes += Buffer.byteLength(text);
    if (this.#textBytes > MAX_TEXT_BYTES) throw exhausted(`its names have more than ${MAX_TEXT_BYTES} bytes in all`);
  }
}

/**
 * The segments of an entry's path, without those that say "here".
 *
 * @throws OriginError ABORTED for what leads elsewhere or is no name; RESOURCE_EXHAUSTED for what is too long.
 */
function segmentsOf(path: string): string[] {
  if (path === '') throw aborted('a name in it is empty');
  if (path.startsWith('/')) throw aborted(`${quote(path)} is absolute`);
  if (path.includes('\0')) throw aborted(`${quote(path)} holds a NUL character`);
  if (path.includes('\ufffd')) throw aborted(`${quote(path)} is not UTF-8`);
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw exhausted(`${quote(path)} is longer than ${MAX_PATH_BYTES} bytes`);
  }
  const segments = path.replace(/\/$/, '').split('/');
  for (const segment of segments) {
    if (segment === '') throw aborted(`${quote(path)} holds an empty name`);
    if (segment === '..') throw aborted(`${quote(path)} leads out of a folder`);
    if (Buffer.byteLength(segment) > MAX_NAME_BYTES) {
      throw exhausted(`${quote(path)} holds a name of more than ${MAX_NAME_BYTES} bytes`);
    }
  }
  return segments.filter((segment) => segment !== '.');
}

/**
 * Whether a symlink may stand as it is: absolute targets may (Capabilities says so of the whole server), relative ones
 * may not lead out of the tree as they are written.
 *
 * @param depth folders between the root and the symlink.
 * @throws OriginError ABORTED.
 */
export function checkTarget(name: string, target: string, depth: number): void {
  if (target === '' || target.includes('\0')) throw aborted(`the symlink ${quote(name)} has no target`);
  if (target.includes('\ufffd')) throw aborted(`the target of the symlink ${quote(name)} is not UTF-8`);
  if (Buffer.byteLength(target) > MAX_PATH_BYTES) {
    throw exhausted(`the target of the symlink ${quote(name)} is longer than ${MAX_PATH_BYTES} bytes`);
  }
  if (target.startsWith('/')) return;
  let at = depth;
  for (const segment of target.split('/')) {
    if (segment === '..') at -= 1;
    else if (segment !== '' && segment !== '.') at += 1;
    if (at < 0) throw aborted(`the symlink ${quote(name)} leads out of the folder, to ${quote(target)}`);
  }
}

/** The archive is not what it should be. */
export function aborted(message: string): OriginError {
  return new OriginError(StatusCode.ABORTED, `the archive: ${message}`);
}

/** The archive is more than it may be. */
export function exhausted(message: string): OriginError {
  return new OriginError(StatusCode.RESOURCE_EXHAUSTED, `the archive: ${message}`);
}

function quote(text: string): string {
  return JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}...` : text);
}
