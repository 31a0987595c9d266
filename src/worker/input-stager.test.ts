import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type InputTree, storeInputs } from '../../test/support/action-builder.ts';
import { MemoryBlobStore } from '../adapters/blob/memory/memory-blob-store.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { RandomIdGenerator } from '../lib/ids.ts';
import { silentLogger } from '../lib/log.ts';
import { DirectoryReader } from './directory-reader.ts';
import { FileCache } from './file-cache.ts';
import { removeFolder } from './folder-removal.ts';
import { InputStager } from './input-stager.ts';
import { WorkFolders } from './work-folders.ts';

const never = new AbortController().signal;

test('an input tree with a longer path than there can be is the fault of the action', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'warren-input-stager-'));
  try {
    const blobs = new MemoryBlobStore(1 << 20);
    const tree = Array.from({ length: 40 }).reduce<InputTree>((below) => ({ ['x'.repeat(200)]: below }), {});
    const root = await storeInputs(blobs, tree);
    const cache = new FileCache(join(folder, 'cache'), 1 << 20, blobs, silentLogger);
    const folders = new WorkFolders(join(folder, 'work'), new RandomIdGenerator(), silentLogger);
    await folders.open();
    const stager = new InputStager(new DirectoryReader(blobs), cache);
    const staging = stager.stage(root, folders.create(), false, never);
    const failure = StatusError.from(await staging.catch((thrown: unknown) => thrown));
    expect(failure.code).toBe(StatusCode.INVALID_ARGUMENT);
    expect(failure.message).toContain('input_root_digest');
  } finally {
    await removeFolder(folder, silentLogger);
  }
});
