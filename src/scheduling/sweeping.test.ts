import { expect, test } from 'vitest';
import { TestGrid } from '../../test/support/test-grid.ts';
import { InProcessBotSessionStore } from '../adapters/state/in-process/in-process-bot-session-store.ts';
import { InProcessJobStore } from '../adapters/state/in-process/in-process-job-store.ts';
import type { FakeClock } from '../lib/fake-clock.ts';
import type { BotSessionStore } from '../ports/bot-session-store.ts';
import type { JobStore } from '../ports/job-store.ts';

const signal = new AbortController().signal;

/** Stores of which one call always fails, as on a record that can't be read or a shard that can't be reached. */
function storesThatFail(fails: (call: PropertyKey, first: unknown) => boolean) {
  const wrap = <T extends object>(store: T): T =>
    new Proxy(store, {
      get(target, call) {
        const value: unknown = Reflect.get(target, call);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]) =>
          fails(call, args[0]) ? Promise.reject(new Error('broken')) : Reflect.apply(value, target, args);
      },
    });
  return (clock: FakeClock): { jobs: JobStore; sessions: BotSessionStore } => ({
    jobs: wrap(new InProcessJobStore({ clock })),
    sessions: wrap(new InProcessBotSessionStore({ clock })),
  });
}

test('a job that cannot be looked at keeps no other from its end', async () => {
  const broken = new Set<unknown>();
  const state = storesThatFail((call, first) => call === 'apply' && broken.has(first));
  const grid = await new TestGrid({ state, settings: { unservedGrace: 10_000 } }).start();
  const clients = [];
  for (const argument of ['one', 'two', 'three']) {
    clients.push(grid.execute(await grid.uploadAction({ argument })));
    await grid.settle();
  }
  const query = { instanceName: 'main', conditions: [], sort: [] };
  const { operations } = await grid.jobs.list(query, 10, undefined, signal);
  broken.add(operations[0]?.job.id);
  await grid.clock.advance(40_000);
  expect(clients.filter((each) => each.ended)).toHaveLength(2);
  for (const client of clients) client.disconnect();
  await grid.stop();
});

test('sessions that cannot be read keep no job from its end, nor a watch from being renewed', async () => {
  const state = storesThatFail((call) => call === 'expire');
  const grid = await new TestGrid({ state, settings: { unservedGrace: 120_000 } }).start();
  const client = grid.execute(await grid.uploadAction());
  // Longer than a watch is believed that nobody renews.
  await grid.clock.advance(100_000);
  expect(client.ended).toBe(false);
  await grid.clock.advance(100_000);
  expect(client.response.status?.code).toBe(9);
  await grid.stop();
});
