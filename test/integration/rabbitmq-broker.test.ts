import { setMaxListeners } from 'node:events';
import { connect } from 'amqplib';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { workQueueName } from '../../src/adapters/broker/rabbitmq/names.ts';
import type { RabbitmqBrokerOptions } from '../../src/adapters/broker/rabbitmq/rabbitmq-broker.ts';
import { createRequirement } from '../../src/domain/platform.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import type { WorkMessage } from '../../src/domain/work.ts';
import type { ReplicaUpdate, WorkInterest } from '../../src/ports/broker.ts';
import { eventually, interestOf, RabbitmqFarm, workMessage } from '../support/rabbitmq-farm.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';

const never = new AbortController().signal;
setMaxListeners(0, never);
let server: RabbitmqServer;
let instanceName = 'none';
let instances = 0;

beforeAll(async () => {
  server = await RabbitmqServer.start();
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

// Each test has an instance, and so work queues, of its own.
beforeEach(() => {
  instances += 1;
  instanceName = `team/test.${instances}`;
});

/** Replicas that share a registry, as they would share Redis. */
function startFarm(count: number, changes: Partial<RabbitmqBrokerOptions> = {}): Promise<RabbitmqFarm> {
  return RabbitmqFarm.start(server, instanceName, count, changes);
}

function work(jobId: string, properties: Record<string, string> = {}, priority = 0): WorkMessage {
  return workMessage(instanceName, jobId, properties, { priority });
}

function bot(properties: Record<string, string> = {}): WorkInterest {
  return interestOf(instanceName, properties);
}

/** Messages that came back to their publisher since the broker was started, because no queue took them. */
async function returnedMessages(): Promise<number> {
  const counters = await server.control('eval', 'rabbit_global_counters:overview().');
  return Number(/messages_unroutable_returned_total => (\d+)/.exec(counters)?.[1]);
}

/** Ready and unacknowledged messages of each of this test's queues. */
async function depths(): Promise<Map<string, { ready: number; unacknowledged: number }>> {
  const printed = await server.control('list_queues', 'name', 'messages_ready', 'messages_unacknowledged');
  const rows = printed
    .trim()
    .split('\n')
    .slice(1)
    .map((line) => line.split('\t'));
  const prefix = workQueueName({ instanceName, requirement: createRequirement([]) });
  return new Map(
    rows
      .filter(([name]) => name?.startsWith(prefix))
      .map(([name = '', ready, unacknowledged]) => [
        name,
        { ready: Number(ready), unacknowledged: Number(unacknowledged) },
      ]),
  );
}

describe('work', () => {
  test('reaches a bot that waits and fits, on another replica, and never one that does not fit', async () => {
    await using farm = await startFarm(2);
    const [execution, bots] = farm.replicas;
    const giveUp = new AbortController();
    const misfit = bots?.takeNext(bot({ OSFamily: 'macos' }), giveUp.signal);
    const fitting = bots?.takeNext(bot({ OSFamily: 'linux', ISA: 'x86-64' }), never);
    const offered = work('job-1', { OSFamily: 'linux' });
    await execution?.offerWork(offered, never);
    const delivery = await fitting;
    expect(delivery?.work).toEqual(offered);
    delivery?.acknowledge();
    giveUp.abort('enough');
    await expect(misfit).rejects.toBe('enough');
  });

  test('that waits is taken at once, the more urgent first, and then there is none', async () => {
    await using farm = await startFarm(1);
    const [replica] = farm.replicas;
    if (replica === undefined) throw new Error('no replica');
    await replica.offerWork(work('late', {}, 10), never);
    await replica.offerWork(work('normal', {}, 0), never);
    await replica.offerWork(work('urgent', {}, -10), never);
    const taken: string[] = [];
    for (let i = 0; i < 3; i++) {
      const delivery = await replica.takeNow(bot(), never);
      if (delivery !== undefined) taken.push(delivery.work.jobId);
      delivery?.acknowledge();
    }
    expect(taken).toEqual(['urgent', 'normal', 'late']);
    expect(await replica.takeNow(bot(), never)).toBeUndefined();
  });

  test('of a queue is taken in its turn, however full another is that the same bots fit', async () => {
    await using farm = await startFarm(1);
    const [full, short] = [{ OSFamily: 'linux' }, { OSFamily: 'linux', ISA: 'x86-64' }];
    for (let i = 0; i < 30; i += 1) await farm.replica.offerWork(workMessage(instanceName, `full-${i}`, full), never);
    for (let i = 0; i < 3; i += 1) await farm.replica.offerWork(workMessage(instanceName, `short-${i}`, short), never);
    const taken: string[] = [];
    for (let i = 0; i < 8; i += 1) {
      const delivery = await farm.replica.takeNow(bot(short), never);
      delivery?.acknowledge();
      taken.push(delivery?.work.jobId ?? 'nothing');
    }
    expect(taken.filter((jobId) => jobId.startsWith('short'))).toEqual(['short-0', 'short-1', 'short-2']);
    expect(taken.filter((jobId) => jobId.startsWith('full'))).toHaveLength(5);
  });

  test('an idle bot that fits twenty queues draws one message', async () => {
    await using farm = await startFarm(2);
    const [execution, bots] = farm.replicas;
    const first = bots?.takeNext(bot({ OSFamily: 'linux', pool: '0' }), never);
    const offers = Array.from({ length: 20 }, (_, i) =>
      work(`job-${i}`, i % 2 ? { OSFamily: 'linux' } : { pool: '0' }),
    );
    for (const offer of offers) await execution?.offerWork(offer, never);
    const delivery = await first;
    expect(
      await eventually(async () => {
        const all = [...(await depths()).values()];
        const ready = all.reduce((sum, each) => sum + each.ready, 0);
        const unacknowledged = all.reduce((sum, each) => sum + each.unacknowledged, 0);
        return ready === 19 && unacknowledged === 1;
      }),
    ).toBe(true);
    delivery?.acknowledge();
  });

  test('every message comes to one bot, however many wait on however many replicas', async () => {
    await using farm = await startFarm(3);
    const [execution] = farm.replicas;
    if (execution === undefined) throw new Error('no replica');
    const taken: string[] = [];
    const stop = new AbortController();
    setMaxListeners(0, stop.signal);
    const bots = farm.replicas.flatMap((replica) =>
      Array.from({ length: 8 }, async () => {
        for (;;) {
          const delivery =
            (await replica.takeNow(bot({ a: '1', b: '1' }), stop.signal)) ??
            (await replica.takeNext(bot({ a: '1', b: '1' }), stop.signal));
          taken.push(delivery.work.jobId);
          delivery.acknowledge();
          if (taken.length === 600) stop.abort('done');
        }
      }),
    );
    const ended = Promise.allSettled(bots);
    await Promise.all(
      Array.from({ length: 600 }, (_, i) =>
        execution.offerWork(work(`job-${i}`, i % 2 ? { a: '1' } : { b: '1' }), never),
      ),
    );
    await ended;
    expect(new Set(taken).size).toBe(600);
    expect(taken).toHaveLength(600);
  });

  test('that is given back goes to another bot', async () => {
    await using farm = await startFarm(2);
    const [one, two] = farm.replicas;
    await one?.offerWork(work('job-1'), never);
    const delivery = await one?.takeNow(bot(), never);
    const other = two?.takeNext(bot(), never);
    delivery?.giveBack();
    const again = await other;
    expect(again?.work.jobId).toBe('job-1');
    again?.acknowledge();
  });

  test('that a replica held when it died goes to another', async () => {
    await using farm = await startFarm(2);
    const [dying, other] = farm.replicas;
    await dying?.offerWork(work('job-1'), never);
    await dying?.takeNow(bot(), never);
    const waiting = other?.takeNext(bot(), never);
    await dying?.stop();
    const delivery = await waiting;
    expect(delivery?.work.jobId).toBe('job-1');
    delivery?.acknowledge();
  });

  test('in a deleted queue is lost, but the queue comes back for those who wait and those who offer', async () => {
    await using farm = await startFarm(2);
    const [execution, bots] = farm.replicas;
    const waiting = bots?.takeNext(bot({ OSFamily: 'linux' }), never);
    await execution?.offerWork(work('job-1', { OSFamily: 'linux' }), never);
    (await waiting)?.acknowledge();
    const again = bots?.takeNext(bot({ OSFamily: 'linux' }), never);
    await server.control('delete_queue', workQueueName(work('x', { OSFamily: 'linux' })));
    await execution?.offerWork(work('job-2', { OSFamily: 'linux' }), never);
    const late = bots?.takeNow(bot({ OSFamily: 'linux' }), never);
    const taken = await Promise.race([again, late?.then((delivery) => delivery ?? again)]);
    expect(taken?.work.jobId).toBe('job-2');
    taken?.acknowledge();
  });

  test('is missed once its queue has been purged, or deleted', async () => {
    await using farm = await startFarm(1);
    const [replica] = farm.replicas;
    const queue = work('job-1', { OSFamily: 'linux' });
    await replica?.offerWork(queue, never);
    const isLost = async () => (await replica?.findLost(queue, [queue], never))?.length === 1;
    expect(await isLost()).toBe(false);
    await server.control('purge_queue', workQueueName(queue));
    expect(await eventually(isLost)).toBe(true);
    await replica?.offerWork(queue, never);
    expect(await eventually(async () => !(await isLost()))).toBe(true);
    await server.control('delete_queue', workQueueName(queue));
    expect(await eventually(isLost)).toBe(true);
    await replica?.offerWork(queue, never);
    const delivery = await replica?.takeNow(bot({ OSFamily: 'linux' }), never);
    expect(delivery?.work.jobId).toBe('job-1');
    delivery?.acknowledge();
  });

  test('in a paused queue stays there until the queue goes on', async () => {
    await using farm = await startFarm(2);
    const [execution, bots] = farm.replicas;
    const queue = work('x', { OSFamily: 'linux' });
    await execution?.setPaused(queue, true, never);
    await execution?.offerWork(work('job-1', { OSFamily: 'linux' }), never);
    expect(await execution?.takeNow(bot({ OSFamily: 'linux' }), never)).toBeUndefined();
    expect(await execution?.queues(never)).toMatchObject([{ paused: true, waiting: 1 }]);
    await execution?.setPaused(queue, false, never);
    const delivery = await bots?.takeNext(bot({ OSFamily: 'linux' }), never);
    expect(delivery?.work.jobId).toBe('job-1');
    delivery?.acknowledge();
  });

  test('in a queue that another replica has paused is not handed out, at once', async () => {
    await using farm = await startFarm(2);
    const [execution, bots] = farm.replicas;
    const queue = work('x', { OSFamily: 'linux' });
    await execution?.offerWork(work('first', { OSFamily: 'linux' }), never);
    const first = await bots?.takeNext(bot({ OSFamily: 'linux' }), never);
    first?.acknowledge();
    const giveUp = new AbortController();
    const waiting = bots?.takeNext(bot({ OSFamily: 'linux' }), giveUp.signal);
    const operator = await connect(server.url);
    const channel = await operator.createChannel();
    const consumers = async () => (await channel.checkQueue(workQueueName(queue))).consumerCount;
    expect(await eventually(async () => (await consumers()) === 1)).toBe(true);
    await execution?.setPaused(queue, true, never);
    // Long before anybody looks at the registry again.
    expect(await eventually(async () => (await consumers()) === 0)).toBe(true);
    await execution?.offerWork(work('second', { OSFamily: 'linux' }), never);
    expect(await bots?.takeNow(bot({ OSFamily: 'linux' }), never)).toBeUndefined();
    await execution?.setPaused(queue, false, never);
    expect((await waiting)?.work.jobId).toBe('second');
    giveUp.abort();
    await operator.close();
  });

  test('for a queue that is full by policy is refused with RESOURCE_EXHAUSTED', async () => {
    await using farm = await startFarm(1);
    const [replica] = farm.replicas;
    const pattern = `^${workQueueName(work('x')).replaceAll(/[.%]/g, '\\$&')}`;
    await server.control(
      'set_policy',
      'full',
      pattern,
      '{"max-length":1,"overflow":"reject-publish"}',
      '--apply-to',
      'queues',
    );
    await replica?.offerWork(work('job-1'), never);
    expect(
      await eventually(() =>
        (replica?.offerWork(work('job-2'), never) ?? Promise.resolve()).then(
          () => false,
          (error: unknown) => (error as { code?: number }).code === StatusCode.RESOURCE_EXHAUSTED,
        ),
      ),
    ).toBe(true);
    await server.control('clear_policy', 'full');
  });

  test('whose message is not one of ours is dropped, and harms nobody', async () => {
    await using farm = await startFarm(1);
    const [replica] = farm.replicas;
    await replica?.offerWork(work('job-1'), never);
    const stranger = await connect(server.url);
    const channel = await stranger.createConfirmChannel();
    channel.sendToQueue(workQueueName(work('x')), Buffer.from('{"job":7}'), { priority: 9 });
    await channel.waitForConfirms();
    await stranger.close();
    expect(await replica?.takeNow(bot(), never)).toBeUndefined();
    const delivery = await replica?.takeNow(bot(), never);
    expect(delivery?.work.jobId).toBe('job-1');
    delivery?.acknowledge();
  });
});

describe('hints', () => {
  test('go to the replicas that they are for, this one included, and to no other', async () => {
    await using farm = await startFarm(3);
    const heard: string[] = [];
    const ids = farm.replicas.map((_, i) => `${instanceName}-replica-${i}`);
    farm.replicas.forEach((replica, i) =>
      replica.onUpdate(ids[i] ?? '', (update) => heard.push(`${i} ${update.kind}`)),
    );
    const update: ReplicaUpdate = { kind: 'job-changed', jobId: 'job-1', version: 3 };
    farm.replicas[0]?.publishUpdate(ids.slice(0, 2), update);
    farm.replicas[0]?.publishUpdate([ids[2] ?? ''], { kind: 'lease-ended', botSessionName: 's', leaseId: 'l' });
    expect(await eventually(() => Promise.resolve(heard.length === 3))).toBe(true);
    expect(heard.toSorted()).toEqual(['0 job-changed', '1 job-changed', '2 lease-ended']);
  });
});

describe('replicas whose broker was away', () => {
  test('hear that updates were lost, and send their own once it is back', async () => {
    await using farm = await startFarm(2);
    const heard: string[] = [];
    const ids = farm.replicas.map((_, i) => `${instanceName}-replica-${i}`);
    farm.replicas.forEach((replica, i) =>
      replica.onUpdate(ids[i] ?? '', (update) => heard.push(`${i} ${update.kind}`)),
    );
    // A queue that outlives the broker stands for a replica that never was away.
    const steadyId = `${instanceName}-steady`;
    const setUp = await connect(server.url);
    const channel = await setUp.createChannel();
    await channel.assertQueue(steadyId, { durable: true });
    await channel.bindQueue(steadyId, 'warren.updates', steadyId);
    await setUp.close();
    await server.keepDeclarations();
    await server.kill();
    await eventually(() => Promise.resolve(farm.replicas.every(({ ready }) => !ready)));
    farm.replicas[0]?.publishUpdate([steadyId], { kind: 'job-changed', jobId: 'job-1', version: 3 });
    await server.process.start();
    const all = ['0 updates-lost', '1 updates-lost'];
    expect(await eventually(() => Promise.resolve(all.every((each) => heard.includes(each))))).toBe(true);
    const steady = await connect(server.url);
    const reading = await steady.createChannel();
    expect(await eventually(async () => (await reading.checkQueue(steadyId)).messageCount === 1)).toBe(true);
    await reading.deleteQueue(steadyId);
    await steady.close();
  });
});

describe('operators', () => {
  test('follow the farm by a binding to the event tap', async () => {
    await using farm = await startFarm(1);
    const operator = await connect(server.url);
    const channel = await operator.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    await channel.bindQueue(
      queue,
      'warren.events',
      `completed.${instanceName.replace('/', '%2F').replace('.', '%2E')}`,
    );
    const requirement = createRequirement([]).key;
    const { actionDigest } = work('x');
    const labels = { tool: 'bazel', target: '//a', mnemonic: 'CppCompile', invocation: 'i' };
    const job = { jobId: 'job-1', instanceName, attempts: 1, actionDigest, requirement, botId: 'bot', at: 5 };
    const event = { ...job, ...labels };
    farm.replicas[0]?.publishEvent({ ...event, state: 'leased' });
    farm.replicas[0]?.publishEvent({ ...event, state: 'completed' });
    expect(await eventually(async () => (await channel.checkQueue(queue)).messageCount === 1)).toBe(true);
    const message = await channel.get(queue);
    expect(message === false ? undefined : JSON.parse(message.content.toString())).toMatchObject({
      state: 'completed',
    });
    await operator.close();
  });

  test('who bind to the tap late hear soon, though events that nobody took were held back', async () => {
    await using farm = await startFarm(1);
    const operator = await connect(server.url);
    const channel = await operator.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    const requirement = createRequirement([]).key;
    const { actionDigest, tool, target, mnemonic, invocation } = work('x');
    const event = { instanceName, attempts: 1, actionDigest, requirement, botId: 'bot', at: 5 };
    const labels = { tool, target, mnemonic, invocation };
    const publish = (jobId: string) => farm.replicas[0]?.publishEvent({ ...event, ...labels, jobId, state: 'leased' });
    const returnedBefore = await returnedMessages();
    for (let i = 0; i < 10; i++) publish('unheard');
    await eventually(async () => (await returnedMessages()) > returnedBefore);
    const returned = await returnedMessages();
    for (let i = 0; i < 100; i++) publish('held back');
    await channel.bindQueue(queue, 'warren.events', 'leased.#');
    const heard = await eventually(async () => {
      publish('heard');
      return (await channel.checkQueue(queue)).messageCount >= 3;
    });
    expect(heard).toBe(true);
    expect((await returnedMessages()) - returned).toBeLessThan(10);
    await operator.close();
  });

  test('read dead letters, with their reason, in a durable queue', async () => {
    await using farm = await startFarm(1);
    await farm.replicas[0]?.publishDeadLetter({ work: work(`dead-${instanceName}`), reason: 'given up', at: 5 });
    const operator = await connect(server.url);
    const channel = await operator.createChannel();
    expect(await eventually(async () => (await channel.checkQueue('warren.dead')).messageCount > 0)).toBe(true);
    const message = await channel.get('warren.dead', { noAck: true });
    expect(message === false ? undefined : message.properties.headers?.['reason']).toBe('given up');
    await operator.close();
  });
});

describe('a broker that fails', () => {
  test.each(['classic', 'quorum'] as const)(
    'work that waited in a %s queue, and bots that waited, find each other after kill -9 and restart',
    { timeout: 240_000 },
    async (type) => {
      await using farm = await startFarm(2, { queues: { type, priorityLevels: 10, expires: 3_600_000 } });
      const [execution, bots] = farm.replicas;
      await execution?.offerWork(work('before', { OSFamily: 'linux' }), never);
      const waiting = bots?.takeNext(bot({ OSFamily: 'windows' }), never);
      await server.keepDeclarations();
      await server.kill();
      await expect(execution?.offerWork(work('during'), never)).rejects.toMatchObject({ code: StatusCode.UNAVAILABLE });
      await server.process.start();
      expect(await eventually(() => Promise.resolve(farm.replicas.every((replica) => replica.ready)))).toBe(true);
      // Not at once: a quorum queue must elect a leader first.
      const delivery = await bots?.takeNext(bot({ OSFamily: 'linux' }), never);
      expect(delivery?.work.jobId).toBe('before');
      delivery?.acknowledge();
      await execution?.offerWork(work('after', { OSFamily: 'windows' }), never);
      const late = await waiting;
      expect(late?.work.jobId).toBe('after');
      late?.acknowledge();
    },
  );

  test('connections that the broker closes come back', async () => {
    await using farm = await startFarm(1);
    const [replica] = farm.replicas;
    await server.control('close_all_connections', 'test');
    expect(
      await eventually(async () => {
        await replica?.offerWork(work('job-1'), never);
        return true;
      }),
    ).toBe(true);
    const delivery = await replica?.takeNow(bot(), never);
    expect(delivery?.work.jobId).toBe('job-1');
    delivery?.acknowledge();
  });

  test('a broker out of memory takes no work, says so with RetryInfo, and keeps nobody waiting', async () => {
    await using farm = await startFarm(1);
    const { replica } = farm;
    await replica.offerWork(work('job-1'), never);
    const refused = { code: StatusCode.UNAVAILABLE, details: [{ kind: 'retry-info' }] };
    await server.control('set_vm_memory_high_watermark', '0.000001');
    try {
      // The alarm reaches a connection when it next publishes; nobody knows what becomes of that message.
      await expect.poll(() => offered(replica.offerWork(work('job-2'), never)), { timeout: 10_000 }).toBe(false);
      await expect(replica.offerWork(work('job-3'), never)).rejects.toMatchObject(refused);
      await expect(replica.offerWork(work('job-4', { pool: 'of no queue yet' }), never)).rejects.toMatchObject(refused);
      await expect(replica.findLost(work('job-1'), [work('job-1')], never)).rejects.toMatchObject(refused);
      expect(await replica.takeNow(bot(), never)).toBeUndefined();
    } finally {
      await server.control('set_vm_memory_high_watermark', '0.4');
    }
    await expect.poll(() => offered(replica.offerWork(work('job-5'), never)), { timeout: 10_000 }).toBe(true);
    const delivery = await replica.takeNow(bot(), never);
    expect(delivery?.work.jobId).toBe('job-1');
    delivery?.acknowledge();
  });
});

/** Whether the broker took the work; false where it is UNAVAILABLE. */
function offered(offer: Promise<void>): Promise<boolean> {
  return offer.then(
    () => true,
    (error: unknown) => {
      if ((error as { code?: number }).code !== StatusCode.UNAVAILABLE) throw error;
      return false;
    },
  );
}
