import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { RedisBotSessionStore } from '../../src/adapters/state/redis/redis-bot-session-store.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { CarrierAwayError } from '../../src/ports/broker.ts';
import { AT_ONCE, callContext } from '../support/call-context.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import { createJobStore } from '../support/redis-fixtures.ts';
import { RedisServer } from '../support/redis-server.ts';
import { type TestBot, TestGrid } from '../support/test-grid.ts';

let server: RedisServer;
let connection: RedisConnection;
let first: TestGrid;
let second: TestGrid;
let farms = 0;

beforeAll(async () => {
  server = await RedisServer.start();
  connection = await connectToRedis(server.port);
});

afterAll(async () => {
  await connection.stop();
  await server[Symbol.asyncDispose]();
});

// Two replicas that share Redis and a broker, and nothing else.
beforeEach(async () => {
  farms += 1;
  const keyPrefix = `farm-${farms}:`;
  first = await new TestGrid({
    state: (clock) => ({
      jobs: createJobStore(connection, { keyPrefix, now: () => clock.now() }),
      sessions: new RedisBotSessionStore({
        connection,
        keyPrefix,
        maxSessions: 100,
        clock,
        now: () => clock.now(),
      }),
    }),
  }).start();
  second = await new TestGrid({ shared: first, replicaId: 'replica-2' }).start();
});

afterEach(async () => {
  await second.stop();
  await first.stop();
});

function leaseOf(bot: TestBot): string {
  return bot.leases[0]?.id ?? '';
}

test('a client at one replica is answered by a bot at another', async () => {
  const client = first.execute(await first.uploadAction());
  const bot = second.bot('bot-1');
  await bot.create();
  expect(bot.leases).toHaveLength(1);
  bot.complete(leaseOf(bot), { exitCode: 0 });
  await bot.update(AT_ONCE);
  await expect.poll(() => client.ended, { timeout: 5_000 }).toBe(true);
  expect(client.failure).toBeUndefined();
  expect(client.response.status?.code).toBe(StatusCode.OK);
  expect(client.stageNames.at(-1)).toBe('COMPLETED');
  expect(await first.jobs.count(new AbortController().signal)).toEqual({ queued: 0, leased: 0, finished: 1 });
});

test('clients of one action share its one run, whichever replica they came to', async () => {
  const action = await first.uploadAction();
  const clients = [first.execute(action), second.execute(action), second.execute(action)];
  await expect.poll(() => clients.every(({ name }) => name !== ''), { timeout: 5_000 }).toBe(true);
  const bot = first.bot('bot-1', { capacity: 5 });
  await bot.create();
  expect(bot.leases).toHaveLength(1);
  bot.complete(leaseOf(bot), { exitCode: 3 });
  await bot.update(AT_ONCE);
  await expect.poll(() => clients.every(({ ended }) => ended), { timeout: 5_000 }).toBe(true);
  expect(clients.map((each) => each.response.result?.exitCode)).toEqual([3, 3, 3]);
});

test('a client whose replica goes is answered by the other', async () => {
  const draining = new AbortController();
  const client = first.execute(await first.uploadAction(), {}, { draining: draining.signal });
  await expect.poll(() => client.name, { timeout: 5_000 }).not.toBe('');
  draining.abort();
  await client.done;
  const again = second.wait(client.name);
  const bot = second.bot('bot-1');
  await bot.create();
  bot.complete(leaseOf(bot), { exitCode: 0 });
  await bot.update(AT_ONCE);
  await again.done;
  expect(again.response.status?.code).toBe(StatusCode.OK);
});

test('the work of a bot that is lost runs again on another', async () => {
  const client = first.execute(await first.uploadAction());
  const lost = first.bot('lost');
  await lost.create();
  expect(lost.leases).toHaveLength(1);
  const bot = second.bot('bot-2', { deadline: 200_000 });
  const created = bot.create();
  // Each sweep asks Redis, which takes real time however the test's clock runs.
  await expect
    .poll(
      async () => {
        await first.clock.advance(5_000);
        return bot.leases.length;
      },
      { timeout: 10_000 },
    )
    .toBe(1);
  await created;
  bot.complete(leaseOf(bot), { exitCode: 0 });
  await bot.update(AT_ONCE);
  await expect.poll(() => client.ended, { timeout: 5_000 }).toBe(true);
  expect(client.response.status?.code).toBe(StatusCode.OK);
  expect(client.response.result?.executionMetadata?.worker).toBe('bot-2');
});

test('a cancelled operation stops its bot at another replica', async () => {
  const client = first.execute(await first.uploadAction());
  const bot = second.bot('bot-1');
  await bot.create();
  bot.activate();
  const polled = bot.update();
  await first.operations.cancelOperation({ name: client.name }, callContext());
  await polled;
  expect(bot.leases).toHaveLength(0);
  await expect.poll(() => client.ended, { timeout: 5_000 }).toBe(true);
  expect(client.response.status?.code).toBe(StatusCode.CANCELLED);
});

test('work that came while the broker was away is offered within seconds of its return', async () => {
  const offering = vi.spyOn(first.broker, 'offerWork').mockRejectedValue(new CarrierAwayError('away', 1_000));
  const client = first.execute(await first.uploadAction());
  await expect.poll(() => client.stageNames, { timeout: 5_000 }).toEqual(['QUEUED']);
  offering.mockRestore();
  const bot = second.bot('bot-1');
  const created = bot.create();
  let answered = false;
  void created.then(() => {
    answered = true;
  });
  // A second of the farm at each look: the bot's call is held for 24 of them.
  let seconds = 0;
  await expect
    .poll(
      async () => {
        seconds += 1;
        await first.clock.advance(1_000);
        return answered;
      },
      { timeout: 20_000, interval: 100 },
    )
    .toBe(true);
  expect(bot.leases).toHaveLength(1);
  expect(seconds).toBeLessThan(15);
  client.disconnect();
});

test('a dead letter that the broker did not take is published again', async () => {
  vi.spyOn(first.broker, 'publishDeadLetter').mockRejectedValueOnce(new CarrierAwayError('away', 1_000));
  const client = first.execute(await first.uploadAction());
  await expect
    .poll(
      async () => {
        await first.clock.advance(5_000);
        return client.ended;
      },
      { timeout: 20_000, interval: 50 },
    )
    .toBe(true);
  expect(client.response.status?.code).toBe(StatusCode.FAILED_PRECONDITION);
  await expect
    .poll(
      async () => {
        await first.clock.advance(5_000);
        return first.broker.deadLetters().length;
      },
      { timeout: 20_000, interval: 50 },
    )
    .toBe(1);
});
