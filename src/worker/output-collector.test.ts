import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SHA256 } from '../domain/digest-function.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { silentLogger } from '../lib/log.ts';
import type { RereadableSource } from '../ports/blob-store.ts';
import { removeFolder } from './folder-removal.ts';
import { OutputCollector } from './output-collector.ts';

const never = new AbortController().signal;

describe('OutputCollector', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'warren-output-collector-'));
  });

  afterEach(() => removeFolder(folder, silentLogger));

  function collectorOf(path: string): OutputCollector {
    const requested = { style: 'paths', paths: [{ path, kind: 'any' }], mtime: false, unixMode: false } as const;
    const limits = { maxBytes: 1 << 20, maxNodes: 10_000 };
    return new OutputCollector(folder, folder, requested, SHA256, limits, never);
  }

  function failure(path: string): Promise<StatusError> {
    return collectorOf(path)
      .collect({ tree: true, directories: false })
      .then(
        () => Promise.reject(new Error('it went well')),
        (thrown: unknown) => StatusError.from(thrown),
      );
  }

  it("refuses, as the action's own fault, an output that lies deeper than a path can reach", async () => {
    const deep = 'mkdir "out"; chdir "out"; for (1 .. 60) { my $n = "x" x 200; mkdir $n or die; chdir $n or die }';
    expect(spawnSync('/usr/bin/perl', ['-e', deep], { cwd: folder }).status).toBe(0);
    const error = await failure('out');
    expect(error).toMatchObject({ code: StatusCode.FAILED_PRECONDITION, message: expect.stringContaining('"out') });
  });

  it('gives large files as what can be read again from any byte on, for uploads that break', async () => {
    writeFileSync(join(folder, 'out'), Buffer.alloc(300_000, 'abc'));
    const { blobs } = await collectorOf('out').collect({ tree: true, directories: false });
    const [blob] = blobs.values();
    const source = blob?.source() as RereadableSource;
    const chunks: Uint8Array[] = [];
    for await (const chunk of source.from(299_997)) chunks.push(chunk);
    expect(Buffer.concat(chunks).toString()).toBe('abc');
  });

  it('refuses a directory that is deeper than servers take', async () => {
    mkdirSync(join(folder, 'out', ...Array.from({ length: 256 }, () => 'd')), { recursive: true });
    const error = await failure('out');
    expect(error).toMatchObject({ code: StatusCode.FAILED_PRECONDITION, message: expect.stringContaining('256') });
  });
});
