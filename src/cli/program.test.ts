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
