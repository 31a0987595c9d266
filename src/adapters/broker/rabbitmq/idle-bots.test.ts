import { EventEmitter } from 'node:events';
import type { ChannelModel, ConsumeMessage } from 'amqplib';
import { beforeEach, expect, test } from 'vitest';
import { interestOf, workMessage } from '../../../../test/support/rabbitmq-farm.ts';
import type { WorkQueueName } from '../../../domain/work.ts';
import { FakeClock } from '../../../lib/fake-clock.ts';
import { silentLogger } from '../../../lib/log.ts';
import type { WorkDelivery } from '../../../ports/broker.ts';
import { InProcessWorkQueueRegistry } from '../../queue-registry/in-process/in-process-work-queue-registry.ts';
import type { GetChannels } from './get-channels.ts';
import { IdleBots } from './idle-bots.ts';
import { decodeWork, encodeWork } from './messages.ts';
import { workQueueName } from './names.ts';
import { QueueDirectory } from './queue-directory.ts';
import type { WorkQueues } from './work-queues.ts';

const signal = new AbortController().signal;
const LINUX = workMessage('main', 'job-1', { OSFamily: 'linux' });
const MACOS = workMessage('main', 'job-2', { OSFamily: 'macos' });

/** A channel of the library as far as consumers go. */
class FakeChannel extends EventEmitter {
  readonly consumers = new Map<string, (message: ConsumeMessage | null) => void>();
  readonly givenBack: string[] = [];

  prefetch(): Promise<void> {
    return Promise.resolve();
  }

  consume(queue: string, onMessage: (message: ConsumeMessage | null) => void): Promise<{ consumerTag: string }> {
    this.consumers.set(queue, onMessage);
    return Promise.resolve({ consumerTag: queue });
  }

  cancel(tag: string): Promise<void> {
    this.consumers.delete(tag);
    return Promise.resolve();
  }

  ack(): void {}

  nack(message: ConsumeMessage, _allUpTo: boolean, requeue: boolean): void {
    this.givenBack.push(`${workOf(message)} ${requeue ? 'to its queue' : 'for good'}`);
  }
}

function workOf(message: ConsumeMessage): string | undefined {
  return decodeWork(message.content)?.jobId;
}

let clock: FakeClock;
let channel: FakeChannel;
let bots: IdleBots;
/** Names of queues whose node is down. */
let down: Set<string>;
let declared: string[];

beforeEach(async () => {
  clock = new FakeClock();
  channel = new FakeChannel();
  down = new Set();
  declared = [];
  const registry = new InProcessWorkQueueRegistry({ clock, maxQueues: 10, idleTimeout: 3_600_000 });
  await registry.add(MACOS);
  await registry.add(LINUX);
  const directory = new QueueDirectory({ registry, clock, logger: silentLogger, refreshEvery: 60_000 });
  await directory.refresh(signal);
  const workQueues = {
    ensure(queue: WorkQueueName) {
      const name = workQueueName(queue);
      declared.push(name);
      return down.has(name) ? Promise.reject(new Error(`cannot declare queue ${name}`)) : Promise.resolve(name);
    },
    forget() {},
    forgetAll() {},
  } as unknown as WorkQueues;
  const { capability } = interestOf('main', { OSFamily: 'linux' });
  bots = new IdleBots({
    instanceName: 'main',
    capability: new Map([...capability, ['OSFamily', new Set(['linux', 'macos'])]]),
    directory,
    workQueues,
    gets: { get: () => Promise.resolve(undefined) } as unknown as GetChannels,
    quorum: false,
    clock,
    logger: silentLogger,
  });
  await bots.connected({ createChannel: () => Promise.resolve(channel) } as unknown as ChannelModel);
});

/** A bot that waits: what it got, once it has. */
function wait(): { delivery: WorkDelivery | undefined } {
  const waiting: { delivery: WorkDelivery | undefined } = { delivery: undefined };
  bots.takeNext(signal).then(
    (delivery) => {
      waiting.delivery = delivery;
    },
    () => {},
  );
  return waiting;
}

function deliver(work: typeof LINUX): void {
  const message = { content: encodeWork(work), properties: {} } as ConsumeMessage;
  channel.consumers.get(workQueueName(work))?.(message);
}

test('a queue that can not be used keeps no bot from the others, and is tried again while bots wait', async () => {
  down.add(workQueueName(MACOS));
  const waiting = [wait(), wait()];
  await clock.advance(0);
  expect([...channel.consumers.keys()]).toEqual([workQueueName(LINUX)]);
  deliver(LINUX);
  await clock.advance(0);
  expect(waiting[0]?.delivery?.work.jobId).toBe('job-1');
  down.clear();
  await clock.advance(5_000);
  deliver(MACOS);
  await clock.advance(0);
  expect(waiting[1]?.delivery?.work.jobId).toBe('job-2');
});

test('a queue that can not be used is not asked for by every bot', async () => {
  down.add(workQueueName(MACOS));
  for (let i = 0; i < 10; i++) {
    await bots.takeNow(signal);
    wait();
    await clock.advance(100);
  }
  expect(declared.filter((name) => name === workQueueName(MACOS))).toHaveLength(1);
});

test('a consumer that the broker has ended comes back while bots wait', async () => {
  const waiting = wait();
  await clock.advance(0);
  channel.consumers.get(workQueueName(LINUX))?.(null);
  channel.consumers.delete(workQueueName(LINUX));
  await clock.advance(5_000);
  deliver(LINUX);
  await clock.advance(0);
  expect(waiting.delivery?.work.jobId).toBe('job-1');
});

test('a message that comes when no bot waits any more goes back to its queue once, when its consumer has gone', async () => {
  const waiting = wait();
  await clock.advance(0);
  const late = channel.consumers.get(workQueueName(MACOS));
  deliver(LINUX);
  late?.({ content: encodeWork(MACOS), properties: {} } as ConsumeMessage);
  expect(channel.consumers.size).toBeGreaterThan(0);
  expect(channel.givenBack).toEqual([]);
  await clock.advance(0);
  expect(waiting.delivery?.work.jobId).toBe('job-1');
  expect(channel.consumers.size).toBe(0);
  expect(channel.givenBack).toEqual(['job-2 to its queue']);
});

test('no timer is left behind', async () => {
  down.add(workQueueName(MACOS));
  wait();
  await clock.advance(0);
  expect(clock.pendingTimers).toBe(1);
  channel.emit('close');
  await bots.close();
  expect(clock.pendingTimers).toBe(0);
});
