import { describe, expect, test } from 'vitest';
import { type Digest, digestKey, digestOf } from './digest.ts';
import {
  checkCanonicalDirectory,
  checkNodeNames,
  checkTree,
  type Directory,
  EMPTY_DIRECTORY,
  type Tree,
} from './merkle-tree.ts';

const digest = digestOf(Buffer.from('content'));
const file = (name: string) => ({ name, digest, isExecutable: false });
const directory = (name: string, of: Digest = digest) => ({ name, digest: of });
const symlink = (name: string, target = 'target') => ({ name, target });
const make = (parts: Partial<Directory>): Directory => ({ ...EMPTY_DIRECTORY, ...parts });

describe('names of nodes', () => {
  test.each([
    ['an empty name', make({ files: [file('')] }), 'files.name'],
    ['the directory itself', make({ directories: [directory('.')] }), 'directories.name'],
    ['the parent directory', make({ files: [file('..')] }), 'files.name'],
    ['a path', make({ symlinks: [symlink('a/b')] }), 'symlinks.name'],
    ['an absolute path', make({ files: [file('/etc/passwd')] }), 'files.name'],
    ['a NUL character', make({ files: [file('a\0b')] }), 'files.name'],
    ['a name longer than file systems take', make({ files: [file('ü'.repeat(128))] }), 'files.name'],
    ['two files of one name', make({ files: [file('a'), file('a')] }), 'files.name'],
    ['a file and a directory of one name', make({ files: [file('a')], directories: [directory('a')] }), 'directories'],
    ['a file and a symlink of one name', make({ files: [file('a')], symlinks: [symlink('a')] }), 'symlinks.name'],
    ['an empty target', make({ symlinks: [symlink('a', '')] }), 'symlinks.target'],
    ['a target with a NUL character', make({ symlinks: [symlink('a', 'b\0')] }), 'symlinks.target'],
    ['a target longer than Linux takes', make({ symlinks: [symlink('a', 'b'.repeat(4096))] }), 'symlinks.target'],
  ])('%s is refused', (_, bad, field) => {
    expect(() => checkNodeNames(bad, 'root')).toThrow(`root.${field}`);
    expect(() => checkCanonicalDirectory(bad, 'root')).toThrow(`root.${field}`);
  });

  test.each(['a', '...', '.hidden', 'a b', 'ü'.repeat(127), 'Foo', 'foo\\bar', 'x'.repeat(255)])(
    '%s is taken',
    (name) => {
      expect(() => checkNodeNames(make({ files: [file(name)] }), 'root')).not.toThrow();
    },
  );
});

describe('canonical form', () => {
  const properties = [
    { name: 'b', value: '' },
    { name: 'a', value: '' },
  ];

  test.each([
    ['files', make({ files: [file('b'), file('a')] }), 'root.files'],
    ['directories', make({ directories: [directory('b'), directory('a')] }), 'root.directories'],
    ['symlinks', make({ symlinks: [symlink('b'), symlink('a')] }), 'root.symlinks'],
    ['properties of the directory', make({ nodeProperties: { properties } }), 'root.node_properties.properties'],
    ['properties of a file', make({ files: [{ ...file('a'), nodeProperties: { properties } }] }), 'root.files.node_p'],
    ['properties of a symlink', make({ symlinks: [{ ...symlink('a'), nodeProperties: { properties } }] }), 'root.sym'],
  ])('unsorted %s are refused', (_, bad, field) => {
    expect(() => checkCanonicalDirectory(bad, 'root')).toThrow(field);
    expect(() => checkNodeNames(bad, 'root')).not.toThrow();
  });

  test('names are sorted by code point, not as JavaScript sorts', () => {
    expect(() => checkCanonicalDirectory(make({ files: [file('\ufffd'), file('\u{1f600}')] }), 'root')).not.toThrow();
    expect(() => checkCanonicalDirectory(make({ files: [file('\u{1f600}'), file('\ufffd')] }), 'root')).toThrow(
      'sorted',
    );
  });
});

describe('trees', () => {
  /** Each level names the next `width` times; the encodings stand for themselves. */
  function nested(depth: number, width: number): Tree {
    const directories = new Map<string, Directory>();
    let below: Directory = make({ files: [file('leaf')] });
    let belowDigest = digestOf(Buffer.from('level 1'));
    for (let level = 2; level <= depth; level++) {
      directories.set(digestKey(belowDigest), below);
      const named = belowDigest;
      below = make({ directories: Array.from({ length: width }, (_, i) => directory(`d${i}`, named)) });
      belowDigest = digestOf(Buffer.from(`level ${level}`));
    }
    directories.set(digestKey(belowDigest), below);
    return { root: below, rootDigest: belowDigest, directories };
  }

  const limits = { maxDepth: 10, maxDirectories: 1_000, maxFiles: 500 };

  test('a tree within the limits passes', () => {
    expect(() => checkTree(nested(10, 1), 'tree', limits)).not.toThrow();
    expect(() => checkTree(nested(9, 2), 'tree', limits)).not.toThrow();
  });

  test('a tree that is too deep is refused', () => {
    expect(() => checkTree(nested(11, 1), 'tree', limits)).toThrow('more than 10 directories deep');
  });

  test('depth counts where a shared directory hangs lowest', () => {
    const tree = nested(6, 1);
    const chain = nested(6, 1);
    const sharedDigest = tree.rootDigest;
    let below = sharedDigest;
    const directories = new Map([...tree.directories, ...chain.directories]);
    for (let level = 0; level < 5; level++) {
      const next = digestOf(Buffer.from(`chain ${level}`));
      directories.set(digestKey(next), make({ directories: [directory('x', below)] }));
      below = next;
    }
    const root = make({ directories: [directory('a', sharedDigest), directory('b', below)] });
    const whole: Tree = { root, rootDigest: digestOf(Buffer.from('root')), directories };
    expect(() => checkTree(whole, 'tree', limits)).toThrow('deep');
  });

  test('a small tree that unfolds to an enormous one is refused without being walked', () => {
    expect(() => checkTree(nested(200, 10), 'tree', { maxDepth: 256, maxDirectories: 1e6, maxFiles: 1e6 })).toThrow(
      'more than 1000000 directories',
    );
  });

  test('files are counted wherever they occur', () => {
    expect(() => checkTree(nested(4, 7), 'tree', { ...limits, maxFiles: 300 })).toThrow('more than 300 files');
  });

  test('a directory that is named but not there is refused', () => {
    const tree = nested(3, 1);
    const without = new Map([...tree.directories].slice(1));
    expect(() => checkTree({ ...tree, directories: without }, 'tree', limits)).toThrow('is not in the tree');
  });
});
