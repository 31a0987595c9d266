import { expect, test } from 'vitest';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLogger } from '../lib/log.ts';
import type { KnownVersion } from '../ports/job-store.ts';
import { DEFAULT_SCHEDULING_SETTINGS } from './settings.ts';
import { WatchHub } from './watch-hub.ts';

const INTERVAL = DEFAULT_SCHEDULING_SETTINGS.watchRefreshInterval;

function setUp() {
  const clock = new FakeClock();
  /** Each refresh of a job: when, and for how long it is believed. */
  const refreshed: Array<{ readonly jobId: string; readonly at: number; readonly milliseconds: number }> = [];
  /** Jobs that were read, call by call. */
  const read: string[][] = [];
  const jobs = {
    getAll: (jobIds: readonly string[]) => {
      read.push([...jobIds]);
      return Promise.resolve([]);
    },
    apply: () => Promise.resolve(undefined),
    refreshWatches: (known: readonly KnownVersion[], { milliseconds }: { readonly milliseconds: number }) => {
      for (const { jobId } of known) refreshed.push({ jobId, at: clock.monotonic(), milliseconds });
      return Promise.resolve({ changed: [], gone: [] });
    },
  };
  const options = { jobs, clock, logger: silentLogger, replicaId: 'one', settings: DEFAULT_SCHEDULING_SETTINGS };
  return { clock, refreshed, read, hub: new WatchHub(options) };
}

test('each watch is refreshed an interval after it began, and again', async () => {
  const { clock, refreshed, hub } = setUp();
  hub.open('a');
  await clock.advance(INTERVAL / 2);
  hub.open('b');
  for (let i = 0; i < 3; i++) {
    await clock.advance(INTERVAL / 2);
    await hub.refresh();
  }
  expect(refreshed.map(({ jobId, at }) => [jobId, at / INTERVAL])).toEqual([
    ['a', 1],
    ['b', 1.5],
    ['a', 2],
  ]);
});

test('two watches of one job are refreshed as one, and none once both are closed', async () => {
  const { clock, refreshed, hub } = setUp();
  const watches = [hub.open('a'), hub.open('a')];
  await clock.advance(INTERVAL);
  await hub.refresh();
  expect(refreshed).toHaveLength(1);
  for (const watch of watches) watch[Symbol.dispose]();
  await clock.advance(INTERVAL);
  await hub.refresh();
  expect(refreshed).toHaveLength(1);
});

test('more watches than can be refreshed in an interval take longer, and each is believed until its next turn', async () => {
  const { clock, refreshed, hub } = setUp();
  const believedUntil = new Map<string, number>();
  for (let i = 0; i < 30_000; i++) {
    // As submitting does: the time is asked for before the watch is open.
    believedUntil.set(`job-${i}`, clock.monotonic() + hub.watchMilliseconds);
    hub.open(`job-${i}`);
  }
  for (let second = 0; second < 100; second++) {
    await clock.advance(1_000);
    refreshed.length = 0;
    await hub.refresh();
    expect(refreshed.length).toBeLessThanOrEqual(1_000);
    const late = refreshed.filter(({ jobId, at }) => at >= (believedUntil.get(jobId) ?? 0));
    expect(late).toEqual([]);
    for (const { jobId, at, milliseconds } of refreshed) believedUntil.set(jobId, at + milliseconds);
  }
  expect([...believedUntil.values()].every((until) => until > clock.monotonic())).toBe(true);
});

test('once updates were lost every watch is refreshed at the next call, not an interval after the last', async () => {
  const { clock, refreshed, hub } = setUp();
  for (const jobId of ['a', 'b']) hub.open(jobId);
  await clock.advance(1_000);
  await hub.refresh();
  expect(refreshed).toEqual([]);
  hub.catchUp();
  await hub.refresh();
  await hub.refresh();
  expect(refreshed.map(({ jobId }) => jobId)).toEqual(['a', 'b']);
});

test('jobs of which one message tells are read in one call, those that nobody follows not at all', async () => {
  const { read, hub } = setUp();
  using _a = hub.open('a');
  using _b = hub.open('b');
  await Promise.all(['a', 'stranger', 'b', 'a'].map((jobId) => hub.jobChangedElsewhere(jobId, 2)));
  expect(read).toEqual([['a', 'b']]);
  await hub.jobChangedElsewhere('b', 3);
  expect(read).toEqual([['a', 'b'], ['b']]);
});
