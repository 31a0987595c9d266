import { EventEmitter, setMaxListeners } from 'node:events';
import type { ChannelModel, GetMessage } from 'amqplib';
import { expect, test } from 'vitest';
import { Deferred } from '../../../lib/deferred.ts';
import { silentLogger } from '../../../lib/log.ts';
import { GetChannels } from './get-channels.ts';
import type { WorkQueues } from './work-queues.ts';

/** A channel of the library as far as gets go: each is answered when the test says so. */
class FakeChannel extends EventEmitter {
  readonly answers: Array<Deferred<GetMessage | false>> = [];
  readonly givenBack: GetMessage[] = [];

  nack(message: GetMessage, _all: boolean, requeue: boolean): void {
    if (requeue) this.givenBack.push(message);
  }

  get(): Promise<GetMessage | false> {
    const answer = new Deferred<GetMessage | false>();
    this.answers.push(answer);
    return answer.promise;
  }
}

async function setUp() {
  const channels: FakeChannel[] = [];
  let forgotten = 0;
  const model = {
    createChannel() {
      const channel = new FakeChannel();
      channels.push(channel);
      return Promise.resolve(channel);
    },
  };
  const workQueues = { forgetAll: () => (forgotten += 1) };
  const alarm = new AbortController();
  setMaxListeners(0, alarm.signal);
  const gets = new GetChannels({
    workQueues: workQueues as unknown as WorkQueues,
    alarm: () => alarm.signal,
    logger: silentLogger,
  });
  await gets.connected(model as unknown as ChannelModel);
  return { channels, gets, alarm, forgotten: () => forgotten };
}

const message = { content: Buffer.from('work') } as GetMessage;
const settle = () => new Promise<void>((resolve) => setImmediate(resolve));

test('gets that come together go by channels of their own, eight at most', async () => {
  const { channels, gets } = await setUp();
  const got = Array.from({ length: 20 }, () => gets.get('queue'));
  await settle();
  expect(channels.map((each) => each.answers.length)).toEqual([3, 3, 3, 3, 2, 2, 2, 2]);
  for (const { answers } of channels) for (const answer of answers) answer.resolve(message);
  expect((await Promise.all(got)).every((each) => each?.message === message)).toBe(true);
});

test('gets that follow each other go by one channel', async () => {
  const { channels, gets } = await setUp();
  for (let i = 0; i < 3; i++) {
    const got = gets.get('queue');
    await settle();
    channels[0]?.answers[i]?.resolve(false);
    expect(await got).toBeUndefined();
  }
  expect(channels).toHaveLength(1);
});

test('a channel that closes is replaced, and what came by it can be settled no more', async () => {
  const { channels, gets, forgotten } = await setUp();
  const first = gets.get('queue');
  await settle();
  channels[0]?.answers[0]?.resolve(message);
  const channel = (await first)?.channel;
  expect(channel !== undefined && gets.isOpen(channel)).toBe(true);
  channels[0]?.emit('close');
  expect(channel !== undefined && gets.isOpen(channel)).toBe(false);
  expect(forgotten()).toBe(1);
  void gets.get('queue');
  await settle();
  expect(channels).toHaveLength(2);
});

test('without a connection there is nothing to get', async () => {
  const { gets } = await setUp();
  gets.disconnected();
  expect(await gets.get('queue')).toBeUndefined();
});

test('nobody waits for a get until an alarm is over, and what comes then is given back', async () => {
  const { channels, gets, alarm } = await setUp();
  const got = gets.get('queue');
  await settle();
  alarm.abort(new Error('low on memory'));
  expect(await got).toBeUndefined();
  expect(await gets.get('queue')).toBeUndefined();
  channels[0]?.answers[0]?.resolve(message);
  await settle();
  expect(channels[0]?.givenBack).toEqual([message]);
});
