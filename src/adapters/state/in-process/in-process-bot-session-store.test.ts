import { expect, test } from 'vitest';
import { StatusCode } from '../../../domain/status-code.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { describeBotSessionStore } from '../../../ports/bot-session-store.suite.ts';
import { InProcessBotSessionStore } from './in-process-bot-session-store.ts';

describeBotSessionStore('InProcessBotSessionStore', async () => {
  const clock = new FakeClock();
  return {
    store: new InProcessBotSessionStore({ clock }),
    advance: (milliseconds) => clock.advance(milliseconds),
    [Symbol.asyncDispose]: async () => {},
  };
});

test('more sessions than the bound are refused, to come again later', async () => {
  const store = new InProcessBotSessionStore({ clock: new FakeClock(), maxSessions: 1 });
  const session = {
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
  const { signal } = new AbortController();
  await store.create(session, signal);
  await expect(store.create({ ...session, name: 'main/2', botId: 'bot-2' }, signal)).rejects.toMatchObject({
    code: StatusCode.RESOURCE_EXHAUSTED,
  });
});
