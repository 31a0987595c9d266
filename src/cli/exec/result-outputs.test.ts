import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { MemoryBlobStore } from '../../adapters/blob/memory/memory-blob-store.ts';
import { digestOf } from '../../domain/digest.ts';
import { SHA256 } from '../../domain/digest-function.ts';
import { ActionResult } from '../../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { digestToWire } from '../../wire/digest.ts';
import type { LiveOutput } from '../live-output.ts';
import { printOutput } from './result-outputs.ts';

const signal = new AbortController().signal;
const text = 'first line\nsecond line\n';

/** What was printed while the action ran. */
function live(stdout: string): LiveOutput {
  const startOf = (printed: string) => ({
    bytes: Buffer.byteLength(printed),
    hash: createHash('sha256').update(printed).digest('hex'),
  });
  return { printed: (stream: string) => startOf(stream === 'stdout' ? stdout : '') } as LiveOutput;
}

test('what was printed to its end is not fetched once more', async () => {
  const result = ActionResult.create({ stdoutDigest: digestToWire(digestOf(Buffer.from(text))) });
  const output = { write: () => expect.fail('it was printed') };
  const printing = printOutput(
    new MemoryBlobStore(1_000),
    result,
    SHA256,
    live(text),
    { stdout: output, stderr: { write: () => {} } },
    signal,
  );
  await expect(printing).resolves.toBeUndefined();
});

describe.each(['in line', 'stored'])('printOutput of what came %s', (where) => {
  async function printed(before: LiveOutput | undefined): Promise<string> {
    const blobs = new MemoryBlobStore(1_000_000);
    const digest = digestOf(Buffer.from(text));
    await blobs.write(digest, Buffer.from(text), signal);
    const result = ActionResult.create(
      where === 'in line' ? { stdoutRaw: Buffer.from(text) } : { stdoutDigest: digestToWire(digest) },
    );
    let out = '';
    const output = {
      write: (bytes: string | Uint8Array) => {
        out += Buffer.from(bytes as string).toString();
      },
    };
    await printOutput(blobs, result, SHA256, before, { stdout: output, stderr: output }, signal);
    return out;
  }

  test('prints all where nothing was printed', async () => {
    expect(await printed(undefined)).toBe(text);
    expect(await printed(live(''))).toBe(text);
  });

  test('leaves out what was printed', async () => {
    expect(await printed(live('first line\n'))).toBe('second line\n');
    expect(await printed(live(text))).toBe('');
  });

  test('prints all where something else was printed, as by another run', async () => {
    expect(await printed(live('FIRST line\n'))).toBe(text);
    expect(await printed(live(`${text}and more`))).toBe(text);
  });
});
