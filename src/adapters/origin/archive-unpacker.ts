import { createDigest, type Digest, digestOf } from '../../domain/digest.ts';
import type { DigestFunction } from '../../domain/digest-function.ts';
import type { Directory, DirectoryNode, FileNode, SymlinkNode } from '../../domain/merkle-tree.ts';
import { StatusCode } from '../../domain/status-code.ts';
import { compareCodePoints } from '../../lib/code-point-order.ts';
import type { IdGenerator } from '../../lib/ids.ts';
import type { BlobStore } from '../../ports/blob-store.ts';
import { OriginError } from '../../ports/origin.ts';
import { encodeDirectory } from '../../wire/directory.ts';
import { tarOf } from './archive-format.ts';
import { type ArchiveFolder, ArchiveTree, aborted, checkTarget, exhausted } from './archive-tree.ts';
import { BlobBatch } from './blob-batch.ts';
import { SpoolFile } from './spool-file.ts';
import { type TarEntry, tarEntries } from './tar-entries.ts';

export interface ArchiveUnpackerOptions {
  /** Of all in it, headers included, once it is unpacked. */
  readonly maximumUnpackedBytes: number;
  /** Of one file in it. */
  readonly maximumSizeBytes: number;
  readonly maximumEntries: number;
  /** For files in it that are too large for memory. */
  readonly directory: string;
  readonly ids: IdGenerator;
}

/** What is to become of an archive. */
export interface UnpackRequest {
  readonly digestFunction: DigestFunction;
  /** The folder in it that becomes the root; none for all. */
  readonly folder: readonly string[];
}

/** Larger files wait for their digest on the disk. */
const IN_MEMORY_BYTES = 1024 * 1024;

/** The largest Directory: what the rest of the server reads. */
const MAX_DIRECTORY_BYTES = 32 * 1024 * 1024;

const OWNER_MAY_EXECUTE = 0o100;

/** Archives as folders of a store: their files as blobs, and the tree of Directories over them. */
export class ArchiveUnpacker {
  readonly #options: ArchiveUnpackerOptions;

  constructor(options: ArchiveUnpackerOptions) {
    this.#options = options;
  }

  /**
   * Where it fails, blobs of the archive may stay in the store, to which nothing refers.
   *
   * @returns the digest of the root Directory.
   * @throws OriginError: ABORTED for what is damaged or leads elsewhere; UNIMPLEMENTED for other formats; NOT_FOUND where
   *   the folder is not in it; RESOURCE_EXHAUSTED beyond the limits. What the store throws.
   */
  async unpack(
    archive: SpoolFile,
    { digestFunction, folder }: UnpackRequest,
    blobs: BlobStore,
    signal: AbortSignal,
  ): Promise<Digest> {
    const { maximumUnpackedBytes, maximumEntries } = this.#options;
    const batch = new BlobBatch(blobs, signal);
    const tree = new ArchiveTree({ maximumEntries });
    const store = (entry: TarEntry) => this.#store(entry, digestFunction, batch, blobs, signal);
    const source = tarOf(await archive.start(), archive.read());
    for await (const entry of tarEntries(source, maximumUnpackedBytes)) {
      signal.throwIfAborted();
      await add(entry, tree, store);
    }
    const root = tree.find(folder);
    if (root?.kind !== 'folder') {
      throw new OriginError(StatusCode.NOT_FOUND, `the archive has no folder ${JSON.stringify(folder.join('/'))}`);
    }
    const digest = await storeFolder(root, 0, digestFunction, batch);
    await batch.flush();
    return digest;
  }

  async #store(
    { path, sizeBytes, content }: TarEntry,
    digestFunction: DigestFunction,
    batch: BlobBatch,
    blobs: BlobStore,
    signal: AbortSignal,
  ): Promise<Digest> {
    const { maximumSizeBytes, directory, ids } = this.#options;
    if (sizeBytes > maximumSizeBytes) {
      const name = JSON.stringify(path.slice(0, 200));
      throw exhausted(`${name} has more than ${maximumSizeBytes} bytes: assets.fetch.maximumSizeBytes`);
    }
    if (sizeBytes <= IN_MEMORY_BYTES) {
      const chunks: Uint8Array[] = [];
      // The parser waits for ever for somebody to read what is empty.
      if (sizeBytes > 0) for await (const chunk of content) chunks.push(chunk);
      const data = Buffer.concat(chunks);
      const digest = digestOf(data, digestFunction);
      await batch.add(digest, data);
      return digest;
    }
    await using spool = await SpoolFile.create(directory, ids.uuid());
    const hasher = digestFunction.createHasher();
    for await (const chunk of content) {
      signal.throwIfAborted();
      hasher.update(chunk);
      await spool.append(chunk);
    }
    const digest = createDigest(digestFunction, hasher.digest(), spool.sizeBytes);
    if ((await blobs.findMissing([digest], signal)).length > 0) await blobs.write(digest, spool.read(), signal);
    return digest;
  }
}

async function add(entry: TarEntry, tree: ArchiveTree, store: (entry: TarEntry) => Promise<Digest>): Promise<void> {
  const { path, type, mode, target, sizeBytes } = entry;
  switch (type) {
    case 'directory':
      if (sizeBytes > 0) throw aborted(`the folder ${JSON.stringify(path.slice(0, 200))} has content`);
      return tree.addFolder(path);
    case 'file':
    case 'contiguous-file': {
      const put = tree.claim(path);
      return put({ kind: 'file', digest: await store(entry), isExecutable: (mode & OWNER_MAY_EXECUTE) !== 0 });
    }
    case 'link':
    case 'symlink': {
      if (sizeBytes > 0) throw aborted(`the link ${JSON.stringify(path.slice(0, 200))} has content`);
      const put = tree.claim(path);
      return put(type === 'link' ? tree.fileAt(target, path) : { kind: 'symlink', target });
    }
    default:
      throw aborted(`${JSON.stringify(path.slice(0, 200))} is ${type}; files, folders and links are unpacked`);
  }
}

/** Stores a folder from its leaves on. @param depth folders between the root and this one. */
async function storeFolder(
  { nodes }: ArchiveFolder,
  depth: number,
  digestFunction: DigestFunction,
  batch: BlobBatch,
): Promise<Digest> {
  const files: FileNode[] = [];
  const directories: DirectoryNode[] = [];
  const symlinks: SymlinkNode[] = [];
  for (const [name, node] of [...nodes].sort(([a], [b]) => compareCodePoints(a, b))) {
    if (node.kind === 'file') {
      files.push({ name, digest: node.digest, isExecutable: node.isExecutable });
    } else if (node.kind === 'symlink') {
      checkTarget(name, node.target, depth);
      symlinks.push({ name, target: node.target });
    } else {
      directories.push({ name, digest: await storeFolder(node, depth + 1, digestFunction, batch) });
    }
  }
  const directory: Directory = { files, directories, symlinks };
  const encoded = encodeDirectory(directory);
  if (encoded.byteLength > MAX_DIRECTORY_BYTES) {
    throw exhausted(`the Directory of a folder in it has more than ${MAX_DIRECTORY_BYTES} bytes`);
  }
  const digest = digestOf(encoded, digestFunction);
  await batch.add(digest, encoded);
  return digest;
}
