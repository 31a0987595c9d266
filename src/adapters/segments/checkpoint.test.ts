import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { knownBytes, readCheckpoint, writeCheckpoint } from './checkpoint.ts';
import { RecordIndex } from './record-index.ts';
import { digestRecordKey, newRecordKey } from './record-key.ts';
import type { Segment } from './segment.ts';

const directory = mkdtempSync(join(tmpdir(), 'warren-checkpoint-'));
const path = join(directory, 'checkpoint');
const segment: Segment = { number: 3, path: '', committedBytes: 4096, liveBytes: 0, sealed: true };
let whole: Buffer;

async function read() {
  let rows = 0;
  const known = await readCheckpoint(
    directory,
    () => {},
    () => {
      rows += 1;
    },
  );
  return { known, rows };
}

describe('a checkpoint', () => {
  beforeAll(async () => {
    const index = new RecordIndex(1);
    for (let i = 0; i < 5000; i++) {
      index.insert(digestRecordKey(i.toString(16).padStart(64, '0'), i, 1, newRecordKey()), 3, i, 1, i);
    }
    await writeCheckpoint(directory, index, knownBytes([segment]));
    whole = readFileSync(path);
  });
  afterAll(() => rmSync(directory, { recursive: true }));

  test('gives back every row and what it covers', async () => {
    expect(await read()).toEqual({ known: new Map([[3, 4096]]), rows: 5000 });
  });

  test('with any bit flipped counts for nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.byteLength * 8 - 1 }), async (bit) => {
        const bytes = Buffer.from(whole);
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
        writeFileSync(path, bytes);
        expect((await read()).known).toBeUndefined();
      }),
      { numRuns: 40 },
    );
  });

  test('cut anywhere counts for nothing', async () => {
    await fc.assert(
      fc.asyncProperty(fc.nat({ max: whole.byteLength - 1 }), async (length) => {
        writeFileSync(path, whole.subarray(0, length));
        expect((await read()).known).toBeUndefined();
      }),
      { numRuns: 40 },
    );
  });
});
