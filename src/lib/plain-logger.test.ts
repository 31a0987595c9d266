import { describe, expect, it } from 'vitest';
import { FakeClock } from './fake-clock.ts';
import { PlainLogger } from './plain-logger.ts';

function createLogger() {
  const lines: string[] = [];
  return { lines, logger: new PlainLogger((line) => lines.push(line), 'info', new FakeClock()) };
}

describe('PlainLogger', () => {
  it('writes time, level, message and the fields of all its parents', () => {
    const { lines, logger } = createLogger();
    logger.child({ role: 'cas' }).warn({ size: 3, name: 'x' }, 'too large');
    expect(lines).toEqual([expect.stringMatching(/^\d\d:\d\d:\d\d warn: too large role=cas size=3 name=x$/)]);
  });

  it('leaves out what is below its level', () => {
    const { lines, logger } = createLogger();
    logger.debug({}, 'detail');
    expect(lines).toEqual([]);
  });

  it('writes stacks of errors and of what caused them', () => {
    const { lines, logger } = createLogger();
    logger.error({ err: new Error('outer', { cause: new Error('inner') }) }, 'failed');
    expect(lines[1]).toContain('Error: outer');
    expect(lines[1]).toContain('caused by:\n    Error: inner');
  });

  it('lets nothing that came from outside begin a line or move the cursor', () => {
    const { lines, logger } = createLogger();
    logger.info({ peer: 'a\n12:00:00 forged \u001b[2J' }, 'call');
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^[ -~]+$/);
  });
});
