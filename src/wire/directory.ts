import type { DigestFunction } from '../domain/digest-function.ts';
import type { Directory, NodeProperties } from '../domain/merkle-tree.ts';
import { invalidArgument } from '../domain/status-error.ts';
import {
  Directory as WireDirectory,
  type NodeProperties as WireNodeProperties,
} from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestFromWire, digestToWire } from './digest.ts';

/**
 * The domain's directory. Digests are checked; names are not: `checkNodeNames` and `checkCanonicalDirectory` do that.
 *
 * @param field what the directory is, for messages.
 * @throws INVALID_ARGUMENT when a digest is unset or malformed.
 */
function directoryFromWire(wire: WireDirectory, digestFunction: DigestFunction, field: string): Directory {
  return {
    files: wire.files.map(({ name, digest, isExecutable, nodeProperties }) => ({
      name,
      digest: digestFromWire(digest, digestFunction, `${field}.files.digest`),
      isExecutable,
      nodeProperties: nodePropertiesFromWire(nodeProperties),
    })),
    directories: wire.directories.map(({ name, digest }) => ({
      name,
      digest: digestFromWire(digest, digestFunction, `${field}.directories.digest`),
    })),
    symlinks: wire.symlinks.map(({ name, target, nodeProperties }) => ({
      name,
      target,
      nodeProperties: nodePropertiesFromWire(nodeProperties),
    })),
    nodeProperties: nodePropertiesFromWire(wire.nodeProperties),
  };
}

export function directoryToWire(directory: Directory): WireDirectory {
  return {
    files: directory.files.map(({ name, digest, isExecutable, nodeProperties }) => ({
      name,
      digest: digestToWire(digest),
      isExecutable,
      nodeProperties: nodePropertiesToWire(nodeProperties),
    })),
    directories: directory.directories.map(({ name, digest }) => ({ name, digest: digestToWire(digest) })),
    symlinks: directory.symlinks.map(({ name, target, nodeProperties }) => ({
      name,
      target,
      nodeProperties: nodePropertiesToWire(nodeProperties),
    })),
    nodeProperties: nodePropertiesToWire(directory.nodeProperties),
  };
}

/** @throws INVALID_ARGUMENT when the bytes are not an encoded Directory, or hold a malformed digest. */
export function decodeDirectory(encoded: Uint8Array, digestFunction: DigestFunction, field: string): Directory {
  return directoryFromWire(decodeWireDirectory(encoded, field), digestFunction, field);
}

/** @throws INVALID_ARGUMENT when the bytes are not an encoded Directory. */
export function decodeWireDirectory(encoded: Uint8Array, field: string): WireDirectory {
  try {
    return WireDirectory.decode(encoded);
  } catch {
    throw invalidArgument(field, 'the blob is not an encoded Directory');
  }
}

/** The canonical encoding of a directory whose nodes are sorted: what its digest is taken of. */
export function encodeDirectory(directory: Directory): Uint8Array {
  return WireDirectory.encode(directoryToWire(directory)).finish();
}

function nodePropertiesFromWire(wire: WireNodeProperties | undefined): NodeProperties | undefined {
  if (wire === undefined) return undefined;
  return { properties: wire.properties, mtime: wire.mtime, unixMode: wire.unixMode };
}

export function nodePropertiesToWire(nodeProperties: NodeProperties | undefined): WireNodeProperties | undefined {
  if (nodeProperties === undefined) return undefined;
  const { properties, mtime, unixMode } = nodeProperties;
  return { properties: [...properties], mtime, unixMode };
}
