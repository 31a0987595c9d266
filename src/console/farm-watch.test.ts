import { expect, test } from 'vitest';
import { InProcessBroker } from '../adapters/broker/in-process/in-process-broker.ts';
import { InProcessBotSessionStore } from '../adapters/state/in-process/in-process-bot-session-store.ts';
import { InProcessJobStore } from '../adapters/state/in-process/in-process-job-store.ts';
import { unavailable } from '../domain/status-error.ts';
import { sleep } from '../lib/clock.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { FarmWatch } from './farm-watch.ts';

const signal = new AbortController().signal;

/** A farm whose every reading takes ten seconds, and the watch upon it. */
function setUp() {
  const clock = new FakeClock();
  const jobs = new InProcessJobStore({ clock });
  const counted = jobs.count.bind(jobs);
  const state = { isAway: false, isSilent: false, readings: 0 };
  jobs.count = async () => {
    state.readings += 1;
    const { isAway } = state;
    if (state.isSilent) await new Promise(() => {});
    await sleep(clock, 10_000, signal);
    if (isAway) throw unavailable('away', 1_000);
    return counted(signal);
  };
  const farm = { jobs, sessions: new InProcessBotSessionStore({ clock }), broker: new InProcessBroker() };
  return { clock, state, watch: new FarmWatch(farm, clock) };
}

test('a farm whose reading takes long is left alone for ten times as long', async () => {
  const { clock, state, watch } = setUp();
  const [first, second] = [watch.figures(), watch.figures()];
  await clock.advance(10_000);
  await Promise.all([first, second]);
  await clock.advance(99_000);
  await watch.figures();
  expect(state.readings).toBe(1);
  await clock.advance(1_000);
  void watch.figures();
  expect(state.readings).toBe(2);
});

test('a farm that never answers keeps nobody for ever, and is read again soon', async () => {
  const { clock, state, watch } = setUp();
  state.isSilent = true;
  const failing = watch.figures().catch((cause: unknown) => cause);
  await clock.advance(30_000);
  expect(await failing).toMatchObject({ message: 'the farm could not be read within 30 s' });
  state.isSilent = false;
  await clock.advance(1_000);
  const mended = watch.figures();
  await clock.advance(10_000);
  await expect(mended).resolves.toMatchObject({ bots: [] });
});

test('a farm that could not be read in time is read again soon', async () => {
  const { clock, state, watch } = setUp();
  state.isAway = true;
  const failing = watch.figures().catch((cause: unknown) => cause);
  await clock.advance(10_000);
  expect(await failing).toMatchObject({ message: 'away' });
  state.isAway = false;
  await clock.advance(10_000);
  const mended = watch.figures();
  await clock.advance(10_000);
  await expect(mended).resolves.toMatchObject({ bots: [] });
});
