import { EventEmitter } from 'node:events';
import type { ChannelModel } from 'amqplib';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { StatusCode } from '../../../domain/status-code.ts';
import { unavailable } from '../../../domain/status-error.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import { CarrierAwayError } from '../../../ports/broker.ts';
import { ConfirmingPublisher, type Publication, RejectedError } from './publisher.ts';

type Confirm = (error: Error | null) => void;

/** A channel that confirms when the test says so, and closes as the library does: unconfirmed messages first. */
class FakeChannel extends EventEmitter {
  readonly confirms: Confirm[] = [];

  publish(_exchange: string, _routingKey: string, _body: Buffer, _options: object, confirm: Confirm): boolean {
    this.confirms.push(confirm);
    return true;
  }

  break(): void {
    for (const confirm of this.confirms.splice(0)) confirm(new Error('channel closed'));
    this.emit('close');
  }
}

const PUBLICATION: Publication = {
  exchange: 'warren.work',
  routingKey: 'warren.work..',
  body: new Uint8Array(0),
  mandatory: true,
  persistent: true,
};

let channels: FakeChannel[];
let connection: EventEmitter;
let publisher: ConfirmingPublisher;
let alarm: AbortController;

beforeEach(async () => {
  channels = [];
  alarm = new AbortController();
  publisher = new ConfirmingPublisher({
    maxUnconfirmed: 10,
    retryDelay: 1_000,
    alarm: () => alarm.signal,
    topology: { declare: () => Promise.resolve() },
    clock: new FakeClock(),
    logger: silentLogger,
  });
  const createConfirmChannel = () => {
    const channel = new FakeChannel();
    channels.push(channel);
    return Promise.resolve(channel);
  };
  connection = Object.assign(new EventEmitter(), { createConfirmChannel });
  await publisher.connected(connection as unknown as ChannelModel);
});

afterEach(() => publisher.disconnected());

test('a message that was refused says so', async () => {
  const published = publisher.publish(PUBLICATION);
  channels[0]?.confirms[0]?.(new Error('message nacked'));
  await expect(published).rejects.toThrow(RejectedError);
});

test('a message under way when the channel broke was not refused: nobody knows what became of it', async () => {
  const published = publisher.publish(PUBLICATION);
  channels[0]?.break();
  await expect(published).rejects.toThrow(CarrierAwayError);
  await expect(published).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE, details: [{ kind: 'retry-info' }] });
});

test('after a channel that broke the next one publishes', async () => {
  channels[0]?.break();
  await expect.poll(() => channels.length).toBe(2);
  const published = publisher.publish(PUBLICATION);
  channels[1]?.confirms[0]?.(null);
  await expect(published).resolves.toBeUndefined();
});

test('without a connection a message waits for nothing', async () => {
  publisher.disconnected();
  await expect(publisher.publish(PUBLICATION)).rejects.toThrow(CarrierAwayError);
});

test('a broker with an alarm is not away: it takes nothing', async () => {
  alarm.abort(unavailable('low on disk', 1_000));
  const published = publisher.publish(PUBLICATION);
  await expect(published).rejects.toThrow('low on disk');
  await expect(published).rejects.not.toThrow(CarrierAwayError);
});

test('what an alarm has caught under way waits for its end no longer: it may come through, and is owed', async () => {
  const published = publisher.publish(PUBLICATION);
  connection.emit('blocked', 'low on disk');
  await expect(published).rejects.toThrow(CarrierAwayError);
  expect(publisher.unconfirmed).toBe(0);
  channels[0]?.confirms[0]?.(null);
});
