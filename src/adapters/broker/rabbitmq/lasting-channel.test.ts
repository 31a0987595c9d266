import { EventEmitter } from 'node:events';
import type { Channel, ChannelModel } from 'amqplib';
import { expect, test } from 'vitest';
import { Deferred } from '../../../lib/deferred.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { LastingChannel } from './lasting-channel.ts';

/** A channel of the library as far as its end goes. */
class FakeChannel extends EventEmitter {
  isClosed = false;

  /** As the library does: a second close throws at once. */
  close(): Promise<void> {
    if (this.isClosed) throw new Error('Channel closed');
    this.isClosed = true;
    this.emit('close');
    return Promise.resolve();
  }
}

const settle = () => new Promise<void>((resolve) => setTimeout(resolve, 0));

/** @param steps for each channel: how its creation and its setting up go; at once and well, when nothing is said. */
function setUp(steps: ReadonlyArray<{ created?: Promise<void>; set?: Promise<void> }> = []) {
  const channels: FakeChannel[] = [];
  const events: string[] = [];
  const clock = new FakeClock();
  const lasting = new LastingChannel({
    name: 'test',
    async create() {
      const index = channels.length;
      const channel = new FakeChannel();
      channels.push(channel);
      events.push('create');
      await steps[index]?.created;
      return channel as unknown as Channel;
    },
    async setUp(channel) {
      events.push('set up');
      await steps[channels.indexOf(channel as unknown as FakeChannel)]?.set;
    },
    onOpened: () => events.push('opened'),
    onClosed: () => events.push('closed'),
    topology: {
      async declare() {
        events.push('declare');
      },
    },
    clock,
    logger: silentLogger,
  });
  return { channels, events, clock, lasting, model: {} as ChannelModel };
}

test('is there once it is set up, and until it closes', async () => {
  const set = new Deferred<void>();
  const { channels, lasting, model } = setUp([{ set: set.promise }]);
  const opening = lasting.open(model);
  await settle();
  expect(lasting.channel).toBeUndefined();
  expect(lasting.isOpen(channels[0] as unknown as Channel)).toBe(true);
  set.resolve();
  await opening;
  expect(lasting.channel).toBe(channels[0]);
  await channels[0]?.close();
  expect(lasting.channel).toBeUndefined();
  expect(lasting.isOpen(channels[0] as unknown as Channel)).toBe(false);
});

test('is opened again when it closes alone, after a declaration of all that belongs there', async () => {
  const { channels, events, lasting, model } = setUp();
  await lasting.open(model);
  await channels[0]?.close();
  await settle();
  await settle();
  expect(events).toEqual(['create', 'set up', 'opened', 'closed', 'declare', 'create', 'set up', 'opened']);
  expect(lasting.channel).toBe(channels[1]);
});

test('tries again a second later where that fails, and leaves no channel half set up', async () => {
  const failed = Promise.reject(new Error('no such queue'));
  failed.catch(() => {});
  const { channels, clock, lasting, model } = setUp([{}, { set: failed }]);
  await lasting.open(model);
  await channels[0]?.close();
  await settle();
  await settle();
  expect(channels.map(({ isClosed }) => isClosed)).toEqual([true, true]);
  await clock.advance(999);
  expect(channels).toHaveLength(2);
  await clock.advance(1);
  await settle();
  expect(lasting.channel).toBe(channels[2]);
});

test('is given up while it is being created: it closes, and nothing is set up', async () => {
  const created = new Deferred<void>();
  const { channels, events, lasting, model } = setUp([{}, { created: created.promise }]);
  await lasting.open(model);
  await channels[0]?.close();
  await settle();
  await settle();
  expect(channels).toHaveLength(2);
  await lasting.close();
  created.resolve();
  await settle();
  expect(channels[1]?.isClosed).toBe(true);
  expect(events).toEqual(['create', 'set up', 'opened', 'closed', 'declare', 'create']);
});

test('is given up while it is being set up: it closes, and does not count as opened', async () => {
  const set = new Deferred<void>();
  const { channels, events, lasting, model } = setUp([{ set: set.promise }]);
  const opening = lasting.open(model);
  await settle();
  await lasting.close();
  set.resolve();
  await opening;
  expect(channels[0]?.isClosed).toBe(true);
  expect(lasting.channel).toBeUndefined();
  expect(events).toEqual(['create', 'set up']);
});

test('refuses a connection on which it closes while it is set up', async () => {
  const set = new Deferred<void>();
  const { channels, lasting, model } = setUp([{ set: set.promise }]);
  const opening = lasting.open(model);
  await settle();
  await channels[0]?.close();
  set.resolve();
  await expect(opening).rejects.toThrow('RabbitMQ closed the channel of test at once');
  expect(channels).toHaveLength(1);
});

test('goes with its connection, and comes with the next', async () => {
  const { channels, events, lasting, model } = setUp();
  await lasting.open(model);
  lasting.disconnected();
  await channels[0]?.close();
  await settle();
  expect(lasting.channel).toBeUndefined();
  await lasting.open(model);
  expect(lasting.channel).toBe(channels[1]);
  expect(events).toEqual(['create', 'set up', 'opened', 'create', 'set up', 'opened']);
});

test('closes quietly where it is closing already', async () => {
  const { channels, lasting, model } = setUp();
  await lasting.open(model);
  if (channels[0] !== undefined) channels[0].isClosed = true;
  await lasting.close();
  expect(lasting.channel).toBeUndefined();
});
