import { expect, test } from 'vitest';
import { createRequirement, type Property } from '../domain/platform.ts';
import type { WorkQueueName } from '../domain/work.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { FitChecks } from './fit-checks.ts';

const signal = new AbortController().signal;
const LINUX: Property = { name: 'OSFamily', value: 'linux' };

function setUp() {
  const clock = new FakeClock();
  const offers: Property[][] = [];
  let asked = 0;
  const sessions = {
    offers: () => {
      asked += 1;
      return Promise.resolve(offers);
    },
  };
  return { clock, offers, asked: () => asked, checks: new FitChecks(sessions, clock) };
}

const GRACE = 60_000;

function queue(properties: readonly Property[]): WorkQueueName {
  return { instanceName: 'main', requirement: createRequirement(properties) };
}

test('what is asked of one queue is found out once in a second', async () => {
  const { clock, asked, checks } = setUp();
  for (let i = 0; i < 10; i++) await checks.unmet(queue([LINUX]), GRACE, signal);
  expect(asked()).toBe(1);
  await checks.unmet(queue([]), GRACE, signal);
  expect(asked()).toBe(2);
  await clock.advance(1_000);
  await checks.unmet(queue([LINUX]), GRACE, signal);
  expect(asked()).toBe(3);
});

test('a bot that comes is noticed within a tenth of the grace', async () => {
  const { clock, offers, checks } = setUp();
  expect(await checks.unmet(queue([LINUX]), 1_000, signal)).toContain('no bot is connected');
  offers.push([LINUX]);
  await clock.advance(100);
  expect(await checks.unmet(queue([LINUX]), 1_000, signal)).toBeUndefined();
});

test('a store that fails is asked again at once', async () => {
  const { clock } = setUp();
  let fails = true;
  const checks = new FitChecks(
    { offers: () => (fails ? Promise.reject(new Error('away')) : Promise.resolve([[]])) },
    clock,
  );
  await expect(checks.unmet(queue([]), GRACE, signal)).rejects.toThrow('away');
  fails = false;
  expect(await checks.unmet(queue([]), GRACE, signal)).toBeUndefined();
});
