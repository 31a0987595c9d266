import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { RedisBotSessionStore } from '../../src/adapters/state/redis/redis-bot-session-store.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { FakeClock } from '../../src/lib/fake-clock.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import { RedisServer } from '../support/redis-server.ts';

const signal = new AbortController().signal;
let server: RedisServer;
let connection: RedisConnection;

beforeAll(async () => {
  server = await RedisServer.start();
  connection = await connectToRedis(server.port);
});

afterAll(async () => {
  await connection.stop();
  await server[Symbol.asyncDispose]();
});

function createStore(keyPrefix: string, clock: FakeClock, maxSessions = 100): RedisBotSessionStore {
  return new RedisBotSessionStore({ connection, keyPrefix, maxSessions, clock, now: () => clock.now() });
}

const SESSION = {
  name: 'main/1',
  botId: 'bot-1',
  instanceName: 'main',
  lifetime: 1_000,
  health: 'ok',
  properties: [],
  capacity: 1,
  pollId: 'poll-1',
  replicaId: 'replica-1',
} as const;

test('more sessions than the bound are refused, to come again later', async () => {
  const store = createStore('full:', new FakeClock(), 1);
  await store.create(SESSION, signal);
  await expect(store.create({ ...SESSION, name: 'main/2', botId: 'bot-2' }, signal)).rejects.toMatchObject({
    code: StatusCode.RESOURCE_EXHAUSTED,
  });
});

test('a replica finds and ends the sessions that another has made', async () => {
  const clock = new FakeClock();
  const [one, other] = [createStore('two:', clock), createStore('two:', clock)];
  await one.create(SESSION, signal);
  expect(await other.get('main/1', signal)).toEqual(await one.get('main/1', signal));
  await clock.advance(2_000);
  expect(await other.expire(10, signal)).toMatchObject([{ name: 'main/1', instanceName: 'main' }]);
});

test('every key of bots has an expiry, and lies with its instance', async () => {
  const observer = new Redis({ host: '127.0.0.1', port: server.port });
  const store = createStore('keys:', new FakeClock());
  await store.create(SESSION, signal);
  await store.create({ ...SESSION, name: 'main/2' }, signal);
  await store.create({ ...SESSION, name: 'a{b}/3', instanceName: 'a{b}' }, signal);
  const keys = await observer.keys('keys:*');
  const lives = await Promise.all(keys.map((key) => observer.pttl(key)));
  observer.disconnect();
  expect(keys.filter((_key, i) => (lives[i] ?? -1) <= 0)).toEqual([]);
  const tags = new Set(keys.map((key) => key.slice(0, key.indexOf('}') + 1)));
  expect([...tags].sort()).toEqual(['', 'keys:{bots:a%7Bb%7D}', 'keys:{bots:main}']);
});
