import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { SystemClock } from '../lib/clock.ts';
import { ExitCode } from './exit-codes.ts';
import { runProgram } from './program.ts';

test('what is reported of a failure can not steer the terminal', async () => {
  const { signal } = new AbortController();
  let printed = '';
  const code = await runProgram(['cas', 'digest', '/no/such\u001b[2J/file'], {
    stdout: { write: () => true },
    stderr: { write: (text) => (printed += String(text)) },
    stdin: (async function* () {})(),
    environment: {},
    clock: new SystemClock(),
    stop: signal,
    force: signal,
  });
  expect(code).toBe(ExitCode.USAGE);
  expect(printed).toContain('/no/such\ufffd[2J/file');
});

test('a configuration is shown without what opens something', async () => {
  const { signal } = new AbortController();
  const folder = await mkdtemp(join(tmpdir(), 'warren-config-'));
  try {
    const file = join(folder, 'warren.yaml');
    const stores = 'blobs: { kind: memory }\nactionCache: { kind: memory }\n';
    await writeFile(
      file,
      `redis: { password: "\${SECRET}" }\nrabbitmq: { addresses: [mq:5672], password: hush }\n${stores}`,
    );
    let printed = '';
    const code = await runProgram(['config', 'show', file], {
      stdout: { write: (text) => (printed += String(text)) !== '' },
      stderr: { write: () => true },
      stdin: (async function* () {})(),
      environment: { SECRET: 'hush' },
      clock: new SystemClock(),
      stop: signal,
      force: signal,
    });
    expect(code).toBe(ExitCode.OK);
    expect(printed).toContain('password: (hidden)');
    expect(printed).not.toContain('hush');
  } finally {
    await rm(folder, { recursive: true });
  }
});
