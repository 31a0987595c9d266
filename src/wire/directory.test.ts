import { describe, expect, test } from 'vitest';
import { digestKey, digestOf } from '../domain/digest.ts';
import { SHA256 } from '../domain/digest-function.ts';
import type { Directory } from '../domain/merkle-tree.ts';
import { Tree as WireTree } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { decodeDirectory, directoryToWire, encodeDirectory } from './directory.ts';
import { decodeTree, encodeTree } from './tree.ts';

const child: Directory = {
  files: [{ name: 'baz', digest: digestOf(Buffer.from('baz')), isExecutable: true, nodeProperties: undefined }],
  directories: [],
  symlinks: [],
  nodeProperties: undefined,
};
const childDigest = digestOf(encodeDirectory(child));
const root: Directory = {
  files: [
    {
      name: 'bar',
      digest: digestOf(Buffer.from('bar')),
      isExecutable: false,
      nodeProperties: {
        properties: [{ name: 'a', value: 'b' }],
        mtime: { seconds: 12n, nanos: 345_678_901 },
        unixMode: 0o755,
      },
    },
  ],
  directories: [{ name: 'foo', digest: childDigest }],
  symlinks: [{ name: 'link', target: '../x', nodeProperties: undefined }],
  nodeProperties: undefined,
};

describe('directories', () => {
  test('a directory survives the wire, with nanoseconds', () => {
    expect(decodeDirectory(encodeDirectory(root), SHA256, 'root')).toEqual(root);
  });

  test('the empty blob is the empty directory', () => {
    expect(decodeDirectory(new Uint8Array(0), SHA256, 'root')).toMatchObject({ files: [], directories: [] });
  });

  test('bytes that are no Directory are refused by name of the field', () => {
    expect(() => decodeDirectory(Buffer.from([0x0a, 0xff]), SHA256, 'root')).toThrow('root: ');
  });

  test('a node without digest is refused', () => {
    const encoded = Buffer.from([0x0a, 0x03, 0x0a, 0x01, 0x61]);
    expect(() => decodeDirectory(encoded, SHA256, 'root')).toThrow('root.files.digest: is not set');
  });
});

describe('trees', () => {
  test('an encoded tree is the protocol message, and holds the digests of its directories', () => {
    const encoded = encodeTree(encodeDirectory(root), [encodeDirectory(child)]);
    expect(encoded).toEqual(
      WireTree.encode({ root: directoryToWire(root), children: [directoryToWire(child)] }).finish(),
    );
    const tree = decodeTree(encoded, SHA256, 'tree');
    expect(tree.root).toEqual(root);
    expect(tree.rootDigest).toEqual(digestOf(encodeDirectory(root)));
    expect(tree.directories.get(digestKey(childDigest))).toEqual(child);
  });

  test('a tree of an empty root has that root', () => {
    const encoded = encodeTree(new Uint8Array(0), []);
    expect(encoded).toEqual(new Uint8Array([0x0a, 0x00]));
    expect(decodeTree(encoded, SHA256, 'tree').root).toMatchObject({ files: [], directories: [], symlinks: [] });
  });

  test('fields that are not known are passed over', () => {
    const encoded = Buffer.concat([encodeTree(encodeDirectory(root), []), Buffer.from([0x18, 0x05])]);
    expect(decodeTree(encoded, SHA256, 'tree').root).toEqual(root);
  });

  test.each([
    ['a cut record', Buffer.from([0x0a, 0x10, 0x00])],
    ['a cut length', Buffer.from([0x0a])],
    ['a record that is no Directory', Buffer.from([0x0a, 0x02, 0x0a, 0xff])],
    ['an end of a group', Buffer.from([0x0c])],
  ])('%s is refused', (_, encoded) => {
    expect(() => decodeTree(encoded, SHA256, 'tree')).toThrow('tree: ');
  });
});
