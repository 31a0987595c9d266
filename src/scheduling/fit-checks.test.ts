import { expect, test } from 'vitest';
import type { Job } from '../domain/job.ts';
import { createRequirement, type Property } from '../domain/platform.ts';
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

function job(properties: readonly Property[], unservedGrace = 60_000): Job {
  return { instanceName: 'main', requirement: createRequirement(properties), policy: { unservedGrace } } as Job;
}

test('many jobs of one queue ask once in a second', async () => {
  const { clock, asked, checks } = setUp();
  for (let i = 0; i < 10; i++) await checks.unmet(job([LINUX]), signal);
  expect(asked()).toBe(1);
  await checks.unmet(job([]), signal);
  expect(asked()).toBe(2);
  await clock.advance(1_000);
  await checks.unmet(job([LINUX]), signal);
  expect(asked()).toBe(3);
});

test('a bot that comes is noticed within a tenth of the grace', async () => {
  const { clock, offers, checks } = setUp();
  expect(await checks.unmet(job([LINUX], 1_000), signal)).toContain('no bot is connected');
  offers.push([LINUX]);
  await clock.advance(100);
  expect(await checks.unmet(job([LINUX], 1_000), signal)).toBeUndefined();
});

test('a store that fails is asked again at once', async () => {
  const { clock } = setUp();
  let fails = true;
  const checks = new FitChecks(
    { offers: () => (fails ? Promise.reject(new Error('away')) : Promise.resolve([[]])) },
    clock,
  );
  await expect(checks.unmet(job([]), signal)).rejects.toThrow('away');
  fails = false;
  expect(await checks.unmet(job([]), signal)).toBeUndefined();
});
