import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { type Digest, digestKey, digestOf } from '../domain/digest.ts';
import { StatusCode } from '../domain/status-code.ts';
import type { StatusError } from '../domain/status-error.ts';
import { Directory, type GetTreeResponse } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestToWire } from '../wire/digest.ts';
import { treePages } from './tree-pages.ts';

const signal = new AbortController().signal;

interface StoredTree {
  readonly blobs: MemoryBlobStore;
  readonly root: Digest;
  /** Keys of all directories that are stored and that the root leads to through such, in no order. */
  readonly reachable: ReadonlySet<string>;
}

/**
 * A tree of directories that may share children: each names some of those before it. Some are not stored.
 *
 * @param children for each directory, places of the ones before it, as parts of them.
 */
async function storeTree(
  children: ReadonlyArray<readonly number[]>,
  missing: ReadonlySet<number>,
): Promise<StoredTree> {
  const blobs = new MemoryBlobStore(1 << 24);
  const digests: Digest[] = [];
  const inside: string[][] = [];
  for (const [index, places] of children.entries()) {
    const chosen = index === 0 ? [] : [...new Set(places.map((part) => Math.floor(part * index)))];
    const encoded = Directory.encode(
      Directory.create({
        directories: chosen.map((place, i) => ({ name: `d${i}`, digest: digestToWire(digests[place] as Digest) })),
        symlinks: [{ name: 'self', target: `${index}` }],
      }),
    ).finish();
    const digest = digestOf(encoded);
    digests.push(digest);
    inside.push(chosen.map((place) => digestKey(digests[place] as Digest)));
    const isRoot = index === children.length - 1;
    if (isRoot || !missing.has(index)) await blobs.write(digest, encoded, signal);
  }
  const keys = digests.map(digestKey);
  const stored = new Set(keys.filter((_, index) => index === keys.length - 1 || !missing.has(index)));
  const reachable = new Set<string>([keys[keys.length - 1] as string]);
  for (const key of reachable) {
    for (const child of inside[keys.indexOf(key)] ?? []) if (stored.has(child)) reachable.add(child);
  }
  return { blobs, root: digests[digests.length - 1] as Digest, reachable };
}

const keyOf = (directory: Directory) => digestKey(digestOf(Directory.encode(directory).finish()));

async function firstPage(tree: StoredTree, pageSize: number, token: string, bytes = 1 << 20): Promise<GetTreeResponse> {
  const limits = { maxTreePageBytes: bytes };
  for await (const page of treePages(tree.blobs, tree.root, pageSize, token, signal, limits)) return page;
  throw new Error('there is no page');
}

/** All keys, with a call of its own for each page: as a client does whose connection breaks after each. */
async function inPages(tree: StoredTree, pageSizes: readonly number[], bytes: number): Promise<string[]> {
  const keys: string[] = [];
  for (let token = '', turn = 0; ; turn++) {
    const pageSize = pageSizes[turn % pageSizes.length] ?? 0;
    const page = await firstPage(tree, pageSize, token, bytes);
    keys.push(...page.directories.map(keyOf));
    if (page.nextPageToken === '') return keys;
    token = page.nextPageToken;
    if (turn > 500) throw new Error('the pages have no end');
  }
}

const shape = fc.array(fc.array(fc.double({ min: 0, max: 0.999, noNaN: true }), { maxLength: 4 }), {
  minLength: 1,
  maxLength: 25,
});
const gaps = fc.array(fc.nat({ max: 25 }), { maxLength: 4 }).map((places) => new Set(places));

test('pages of any size hold each directory once, as one call with all of them does', async () => {
  await fc.assert(
    fc.asyncProperty(
      shape,
      gaps,
      fc.array(fc.nat({ max: 5 }), { minLength: 1, maxLength: 3 }),
      fc.integer({ min: 1, max: 600 }),
      async (children, missing, pageSizes, bytes) => {
        const tree = await storeTree(children, missing);
        const whole: string[] = [];
        for await (const page of treePages(tree.blobs, tree.root, 0, '', signal)) {
          whole.push(...page.directories.map(keyOf));
        }
        expect(new Set(whole)).toEqual(tree.reachable);
        expect(whole).toHaveLength(tree.reachable.size);
        expect(await inPages(tree, pageSizes, bytes)).toEqual(whole);
      },
    ),
    { numRuns: 80 },
  );
});

test('a part of the tree that comes or goes between pages hides nothing that stays', async () => {
  await fc.assert(
    fc.asyncProperty(shape, gaps, fc.integer({ min: 1, max: 4 }), async (children, missing, pageSize) => {
      const before = await storeTree(children, new Set());
      const after = await storeTree(children, missing);
      const first = await firstPage(before, pageSize, '');
      const seen = new Set(first.directories.map(keyOf));
      if (first.nextPageToken !== '') {
        for await (const page of treePages(after.blobs, after.root, pageSize, first.nextPageToken, signal)) {
          for (const each of page.directories) seen.add(keyOf(each));
        }
      }
      expect([...after.reachable].filter((key) => !seen.has(key))).toEqual([]);
    }),
    { numRuns: 80 },
  );
});

test('a token that is none of ours, or of another tree, is INVALID_ARGUMENT, or answered with everything', async () => {
  const damage = fc.record({ at: fc.nat({ max: 200 }), text: fc.string({ maxLength: 6 }) });
  const tree = await storeTree([[], [0], [0.5, 0], [0.9], [0.9, 0.2]], new Set());
  const { nextPageToken } = await firstPage(tree, 2, '');
  const tokens = fc.oneof(
    fc.string({ minLength: 1 }),
    damage.map(({ at, text }) => nextPageToken.slice(0, at) + text + nextPageToken.slice(at + text.length)),
    fc.string().map((text) => Buffer.from(`1 ${digestKey(tree.root)} ${text}`).toString('base64url')),
    fc.nat().map((count) => Buffer.from(`1 ${digestKey(tree.root)} ${count} x`).toString('base64url')),
  );
  await fc.assert(
    fc.asyncProperty(
      tokens.filter((each) => each !== ''),
      async (token) => {
        const read = async () => {
          const keys: string[] = [];
          for await (const page of treePages(tree.blobs, tree.root, 0, token, signal)) {
            keys.push(...page.directories.map(keyOf));
          }
          return `${keys.length} directories`;
        };
        const told = await read().catch((thrown: unknown) => (thrown as StatusError).code);
        expect([StatusCode.INVALID_ARGUMENT, '3 directories', '5 directories']).toContain(told);
      },
    ),
    { numRuns: 200 },
  );
});
