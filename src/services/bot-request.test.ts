import { expect, test } from 'vitest';
import { BotSession, BotStatus } from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';
import { checkBotSession } from './bot-request.ts';

const property = (key: string, value: string) => ({ key, value });

test('a bot offers what its worker and its first device have, and nothing of other devices', () => {
  const session = BotSession.create({
    botId: 'bot',
    status: BotStatus.OK,
    worker: {
      properties: [property('pool', 'tests')],
      devices: [
        { handle: 'first', properties: [property('OSFamily', 'linux')] },
        { handle: 'second', properties: [property('OSFamily', 'windows')] },
      ],
    },
  });
  expect(checkBotSession(session).properties).toEqual([
    { name: 'OSFamily', value: 'linux' },
    { name: 'pool', value: 'tests' },
  ]);
});

test.each([
  ['bot_session.worker.properties', { properties: [property('k'.repeat(2_000), 'v')] }],
  ['bot_session.worker.devices[0].properties', { devices: [{ properties: [property('k', 'v'.repeat(2_000))] }] }],
])('a property that is too long is refused by its field: %s', (field, worker) => {
  const session = BotSession.create({ botId: 'bot', status: BotStatus.OK, worker });
  expect(() => checkBotSession(session)).toThrow(expect.objectContaining({ message: expect.stringContaining(field) }));
});
