import { expect, test } from 'vitest';
import { callContext } from '../../test/support/call-context.ts';
import { testInstance } from '../../test/support/instance.ts';
import { MapBlobStore } from '../../test/support/map-blob-store.ts';
import { InProcessBotSessionStore } from '../adapters/state/in-process/in-process-bot-session-store.ts';
import { StatusCode } from '../domain/status-code.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { Instances } from './instances.ts';
import { Introspection } from './introspection.ts';

const signal = new AbortController().signal;
const everything = { instanceName: '', allInstances: true, pageSize: 0, pageToken: '' };

async function setUp() {
  const sessions = new InProcessBotSessionStore({ clock: new FakeClock(Date.UTC(2026, 0, 1)) });
  for (const [instanceName, id] of [
    ['main', 'a'],
    ['main', 'b'],
    ['main', 'c'],
    ['other', 'd'],
  ] as const) {
    await sessions.create(
      {
        name: `${instanceName}/${id}`,
        botId: `bot-${id}`,
        instanceName,
        lifetime: 60_000,
        health: id === 'b' ? 'unhealthy' : 'ok',
        properties: [{ name: 'OSFamily', value: 'linux' }],
        capacity: 4,
        pollId: 'p',
        replicaId: 'r',
      },
      signal,
    );
  }
  const instances = new Instances([testInstance(new MapBlobStore())]);
  return { sessions, introspection: new Introspection({ instances, sessions, maxPageSize: 10 }) };
}

test('the bots of an instance are listed with what they offer and hold', async () => {
  const { introspection } = await setUp();
  const { bots, nextPageToken } = await introspection.listBots(
    { ...everything, allInstances: false, instanceName: 'main' },
    callContext(),
  );
  expect(bots.map(({ botId }) => botId)).toEqual(['bot-a', 'bot-b', 'bot-c']);
  expect(nextPageToken).toBe('');
  expect(bots[1]).toMatchObject({
    sessionName: 'main/b',
    status: 'UNHEALTHY',
    properties: [{ name: 'OSFamily', value: 'linux' }],
    capacity: 4,
    leaseIds: [],
    drained: false,
    created: { seconds: BigInt(Date.UTC(2026, 0, 1) / 1_000) },
    expires: { seconds: BigInt(Date.UTC(2026, 0, 1) / 1_000 + 60) },
  });
});

test('the bots of all instances come in pages, each once', async () => {
  const { introspection } = await setUp();
  const seen: string[] = [];
  let pageToken = '';
  do {
    const page = await introspection.listBots({ ...everything, pageSize: 3, pageToken }, callContext());
    seen.push(...page.bots.map(({ botId }) => botId));
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  expect(seen).toEqual(['bot-a', 'bot-b', 'bot-c', 'bot-d']);
});

test('a drained bot is shown as such', async () => {
  const { introspection, sessions } = await setUp();
  await sessions.addDrain({ pattern: 'bot-*', comment: 'upgrade' }, signal);
  const { bots } = await introspection.listBots(everything, callContext());
  expect(bots.every(({ drained }) => drained)).toBe(true);
});

test.each([-1, 11])('a page size of %i is INVALID_ARGUMENT', async (pageSize) => {
  const { introspection } = await setUp();
  await expect(introspection.listBots({ ...everything, pageSize }, callContext())).rejects.toMatchObject({
    code: StatusCode.INVALID_ARGUMENT,
  });
});

test('an instance that is not served is INVALID_ARGUMENT', async () => {
  const { introspection } = await setUp();
  const request = { ...everything, allInstances: false, instanceName: 'nowhere' };
  await expect(introspection.listBots(request, callContext())).rejects.toMatchObject({
    code: StatusCode.INVALID_ARGUMENT,
  });
});
