import { describe, expect } from 'vitest';
import { Directory, Tree } from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { type Blob, blobOf, freshBlob, type Tenant } from '../support/tenant.ts';
import { failure } from '../support/wire-client.ts';
import { choice, connect, expectNamed } from './target.ts';

const tenant = connect();
const file = freshBlob();
const { digest } = file;

type Result = Parameters<Tenant['updateActionResult']>[1];

/** Results that would write elsewhere than below the working directory of whoever takes them from the cache. */
const BAD_RESULTS: ReadonlyArray<readonly [what: string, result: Result, field: string]> = [
  ['an absolute output file', { outputFiles: [{ path: '/etc/passwd', digest }] }, 'output_files[0].path'],
  ['an output file that climbs', { outputFiles: [{ path: 'a/../../b', digest }] }, 'output_files[0].path'],
  ['an output file with a NUL', { outputFiles: [{ path: 'a\u0000b', digest }] }, 'output_files[0].path'],
  ['an output file with an empty segment', { outputFiles: [{ path: 'a//b', digest }] }, 'output_files[0].path'],
  ['an output file without a path', { outputFiles: [{ path: '', digest }] }, 'output_files[0].path'],
  ['an output file without a digest', { outputFiles: [{ path: 'a' }] }, 'output_files[0].digest'],
  [
    'two output files of one path',
    {
      outputFiles: [
        { path: 'a', digest },
        { path: 'a', digest },
      ],
    },
    'output_files[1].path',
  ],
  [
    'a file and a symlink of one path',
    { outputFiles: [{ path: 'a', digest }], outputSymlinks: [{ path: 'a', target: 'b' }] },
    'output_symlinks[0].path',
  ],
  [
    'an absolute output directory',
    { outputDirectories: [{ path: '/tmp', treeDigest: digest }] },
    'output_directories[0].path',
  ],
  [
    'an output directory that climbs',
    { outputDirectories: [{ path: '..', treeDigest: digest }] },
    'output_directories[0].path',
  ],
  ['an output directory without a digest', { outputDirectories: [{ path: 'd' }] }, 'output_directories[0]'],
  ['a symlink that climbs', { outputSymlinks: [{ path: '../link', target: 'x' }] }, 'output_symlinks[0].path'],
  ['a symlink without a target', { outputSymlinks: [{ path: 'link', target: '' }] }, 'output_symlinks[0].target'],
  [
    'a symlink to a file, in the old list, that climbs',
    { outputFileSymlinks: [{ path: '../link', target: 'x' }] },
    'output_file_symlinks[0].path',
  ],
  [
    'a symlink to a directory, in the old list, that is absolute',
    { outputDirectorySymlinks: [{ path: '/link', target: 'x' }] },
    'output_directory_symlinks[0].path',
  ],
];

function treeOf(...directories: ReadonlyArray<Parameters<typeof Directory.create>[0]>): Blob {
  const [root, ...children] = directories.map((each) => Directory.create(each));
  return blobOf(Tree.encode(Tree.create({ root, children })).finish());
}

const BAD_TREES: ReadonlyArray<readonly [what: string, tree: Blob]> = [
  ['bytes that are no Tree', freshBlob('\u0007\u00ff')],
  ['a name that climbs', treeOf({ files: [{ name: '../up', digest }] })],
  ['an absolute name', treeOf({ files: [{ name: '/etc/passwd', digest }] })],
  ['a file without a digest', treeOf({ files: [{ name: 'a' }] })],
  ['a directory that is not among its children', treeOf({ directories: [{ name: 'd', digest }] })],
  [
    'two files of one name',
    treeOf({
      files: [
        { name: 'a', digest },
        { name: 'a', digest },
      ],
    }),
  ],
];

describe('ActionCache.UpdateActionResult: a result that cannot be', () => {
  const cases = [
    ...BAD_RESULTS.map(([what, result, field]) => ({ what, result, field, blobs: [file] })),
    ...BAD_TREES.map(([what, tree]) => ({
      what: `a Tree with ${what}`,
      result: { outputDirectories: [{ path: 'd', treeDigest: tree.digest }] },
      field: 'output_directories[0].tree_digest',
      blobs: [file, tree],
    })),
  ];
  for (const { what, result, field, blobs } of cases) {
    choice(`${what} gives INVALID_ARGUMENT that names the field, and is never answered`, async () => {
      await tenant.upload(...blobs);
      const { action } = await tenant.prepare();
      expectNamed(await failure(tenant.updateActionResult(action.digest, result)), `action_result.${field}`);
      expect((await failure(tenant.getActionResult(action.digest))).code).toBe('NOT_FOUND');
    });
  }
});
