import { expect, test } from 'vitest';
import { FakeClock } from '../lib/fake-clock.ts';
import { StatusLine } from './status-line.ts';

function setUp(isTTY: boolean) {
  const clock = new FakeClock();
  let text = '';
  const write = (piece: string | Uint8Array) => {
    text += String(piece);
  };
  return { clock, line: new StatusLine({ write, isTTY, columns: 80 }, clock), text: () => text };
}

test('the line follows what it describes, and goes without a trace', async () => {
  const { clock, line, text } = setUp(true);
  let count = 0;
  line.show(() => `step ${count}`);
  await clock.advance(100);
  count = 1;
  await clock.advance(100);
  expect(text()).toContain('step 0');
  expect(text()).toContain('step 1');
  line.clear();
  expect(text().endsWith('\u001b[J')).toBe(true);
  expect(clock.pendingTimers).toBe(0);
});

test('what is over in a moment is never drawn', async () => {
  const { clock, line, text } = setUp(true);
  line.show(() => 'quick');
  await clock.advance(50);
  line.clear();
  expect(text()).not.toContain('quick');
});

test('where no terminal is, nothing is drawn', async () => {
  const { clock, line, text } = setUp(false);
  line.show(() => 'working');
  await clock.advance(1_000);
  line.clear();
  expect(text()).toBe('');
});
