import { BinaryReader, BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { digestKey, digestOf } from '../domain/digest.ts';
import type { DigestFunction } from '../domain/digest-function.ts';
import { type Directory, EMPTY_DIRECTORY, type Tree } from '../domain/merkle-tree.ts';
import { invalidArgument } from '../domain/status-error.ts';
import { decodeDirectory } from './directory.ts';

const ROOT_FIELD = 1;
const CHILDREN_FIELD = 2;

/**
 * Reads an encoded Tree and takes the digest of each of its directories, which the message itself does not hold.
 *
 * Whether all directories are there, and their names, `checkTree` and `checkNodeNames` tell.
 *
 * @throws INVALID_ARGUMENT when the bytes are not an encoded Tree, or hold a malformed digest.
 */
export function decodeTree(encoded: Uint8Array, digestFunction: DigestFunction, field: string): Tree {
  let rootBytes: Uint8Array = new Uint8Array(0);
  let root: Directory = EMPTY_DIRECTORY;
  const directories = new Map<string, Directory>();
  for (const { number, bytes } of records(encoded, field)) {
    const directory = decodeDirectory(bytes, digestFunction, field);
    if (number === CHILDREN_FIELD) {
      directories.set(digestKey(digestOf(bytes, digestFunction)), directory);
    } else {
      root = directory;
      rootBytes = bytes;
    }
  }
  const rootDigest = digestOf(rootBytes, digestFunction);
  directories.set(digestKey(rootDigest), root);
  return { root, rootDigest, directories };
}

/**
 * The encoding of a Tree out of encoded directories, byte for byte as OutputDirectory.is_topologically_sorted asks;
 * that flag may be set when each child stands once and behind all its parents.
 */
export function encodeTree(root: Uint8Array, children: Iterable<Uint8Array>): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(ROOT_FIELD, WireType.LengthDelimited).bytes(root);
  for (const child of children) writer.tag(CHILDREN_FIELD, WireType.LengthDelimited).bytes(child);
  return writer.finish();
}

function records(encoded: Uint8Array, field: string): Array<{ number: number; bytes: Uint8Array }> {
  const found: Array<{ number: number; bytes: Uint8Array }> = [];
  try {
    const reader = new BinaryReader(encoded);
    while (reader.pos < reader.len) {
      const [number, wireType] = reader.tag();
      if ((number === ROOT_FIELD || number === CHILDREN_FIELD) && wireType === WireType.LengthDelimited) {
        found.push({ number, bytes: reader.bytes() });
      } else {
        reader.skip(wireType, number);
      }
    }
  } catch {
    throw invalidArgument(field, 'the blob is not an encoded Tree');
  }
  return found;
}
