import { setMaxListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { connect } from 'amqplib';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { BrokerConnectionOptions } from '../../src/adapters/broker/rabbitmq/connection.ts';
import { EVENTS_EXCHANGE, REDELIVER_EXCHANGE, workQueueName } from '../../src/adapters/broker/rabbitmq/names.ts';
import { RabbitmqBroker } from '../../src/adapters/broker/rabbitmq/rabbitmq-broker.ts';
import { InProcessWorkQueueRegistry } from '../../src/adapters/queue-registry/in-process/in-process-work-queue-registry.ts';
import type { JobState } from '../../src/domain/job.ts';
import { StatusCode } from '../../src/domain/status-code.ts';
import { unavailable } from '../../src/domain/status-error.ts';
import { SystemClock } from '../../src/lib/clock.ts';
import { silentLogger } from '../../src/lib/log.ts';
import { readTlsFiles } from '../../src/lib/tls-files.ts';
import { type BrokerFixture, describeBroker } from '../../src/ports/broker.suite.ts';
import type { ReturnedWork } from '../../src/ports/broker.ts';
import { SelfSignedCertificate } from '../support/certificates.ts';
import { DelayingProxy } from '../support/delaying-proxy.ts';
import { freePorts } from '../support/free-port.ts';
import { interestOf, RabbitmqFarm, workMessage } from '../support/rabbitmq-farm.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';

/** A broker set up as rabbitmq/ says, with the lines for TLS that it has as comments. */
const never = new AbortController().signal;
setMaxListeners(0, never);
const FOLDER = new URL('../../rabbitmq/', import.meta.url);
const PASSWORD = 'of the test';
const clock = new SystemClock();
let server: RabbitmqServer;
let tlsPort: number;
let serverCertificate: SelfSignedCertificate;
let authority: SelfSignedCertificate;
let farms = 0;

beforeAll(async () => {
  const [tls = 0, prometheus = 0] = await freePorts(2);
  tlsPort = tls;
  serverCertificate = await SelfSignedCertificate.create();
  authority = await SelfSignedCertificate.create();
  const paths: Readonly<Record<string, string>> = {
    '/etc/rabbitmq/authorities.pem': authority.certificateFile,
    '/etc/rabbitmq/certificate.pem': serverCertificate.certificateFile,
    '/etc/rabbitmq/key.pem': serverCertificate.privateKeyFile,
    '/etc/rabbitmq/definitions.json': new URL('definitions.json', FOLDER).pathname,
  };
  const lines = (await readFile(new URL('rabbitmq.conf', FOLDER), 'utf8'))
    .split('\n')
    .map((line) => (line.startsWith('#') && !line.startsWith('# ') ? line.slice(1) : line))
    .filter((line) => line.includes('=') && !line.startsWith('# ') && !line.startsWith('listeners.'))
    .map((line) => line.replace(/= (\/\S+)$/, (all, path: string) => `= ${paths[path] ?? all}`));
  server = await RabbitmqServer.start({
    management: true,
    plugins: await readFile(new URL('enabled_plugins', FOLDER), 'utf8'),
    configuration: [
      ...lines,
      `listeners.ssl.1 = 127.0.0.1:${tls}`,
      'prometheus.tcp.ip = 127.0.0.1',
      `prometheus.tcp.port = ${prometheus}`,
    ],
  });
  await server.control('change_password', 'warren', PASSWORD);
  // A broker that loads definitions makes no user by itself.
  await server.control('add_user', 'administrator', PASSWORD);
  await server.control('set_user_tags', 'administrator', 'administrator');
}, 180_000);

afterAll(async () => {
  await server?.[Symbol.asyncDispose]();
  await serverCertificate?.[Symbol.asyncDispose]();
  await authority?.[Symbol.asyncDispose]();
});

/** How a replica of this test connects. */
function connectionOf(changes: Partial<BrokerConnectionOptions> = {}): BrokerConnectionOptions {
  return {
    addresses: [{ host: '127.0.0.1', port: server.port }],
    virtualHost: 'warren',
    username: 'warren',
    password: PASSWORD,
    heartbeatSeconds: 10,
    connectTimeout: 5_000,
    connectionName: 'test',
    backoff: { initial: 50, maximum: 500 },
    clock,
    random: () => 0.5,
    logger: silentLogger,
    ...changes,
  };
}

function startFarm(changes: Partial<BrokerConnectionOptions> = {}): Promise<RabbitmqFarm> {
  farms += 1;
  return RabbitmqFarm.start(server, `deployment-${farms}`, 1, { connection: connectionOf(changes) });
}

/** Whether work that goes in comes out. */
async function works({ replica }: RabbitmqFarm, properties: Readonly<Record<string, string>> = {}): Promise<boolean> {
  const jobId = `job-${farms}`;
  await replica.offerWork(workMessage('', jobId, properties), never);
  const delivery = await replica.takeNow(interestOf('', properties), never);
  delivery?.acknowledge();
  return delivery?.work.jobId === jobId;
}

/** As in the management console: a shovel that ends once it has moved what is there. */
async function moveMessages(name: string, from: string, to: string): Promise<void> {
  const move = {
    'src-uri': 'amqp:///warren',
    'src-queue': from,
    'src-delete-after': 'queue-length',
    'dest-uri': 'amqp:///warren',
    'dest-queue': to,
  };
  await server.control('set_parameter', '--vhost', 'warren', 'shovel', name, JSON.stringify(move));
}

/** What the virtual host holds, but for what replicas have for themselves. */
async function definitions(): Promise<Readonly<Record<string, readonly unknown[]>>> {
  const authorization = `Basic ${Buffer.from(`administrator:${PASSWORD}`).toString('base64')}`;
  const answer = await fetch(`http://127.0.0.1:${server.managementPort}/api/definitions`, {
    headers: { authorization },
  });
  const held = (await answer.json()) as Record<string, ReadonlyArray<{ readonly vhost?: string }>>;
  return Object.fromEntries(
    ['exchanges', 'queues', 'bindings', 'policies'].map((kind) => [
      kind,
      (held[kind] ?? [])
        .filter(({ vhost }) => vhost === 'warren')
        .map((each) => JSON.stringify(each))
        .sort(),
    ]),
  );
}

describe("the operator's own topology", () => {
  test('is what Warren would declare: nothing is refused, and nothing changes', async () => {
    const before = await definitions();
    expect(before['queues']).toHaveLength(4);
    const texts: string[] = [];
    const note = (_fields: object, text: string) => texts.push(text);
    farms += 1;
    await using strict = await RabbitmqFarm.start(server, `deployment-${farms}`, 1, {
      connection: connectionOf(),
      queues: { type: 'classic', priorityLevels: 10, expires: 86_400_000 },
      logger: { ...silentLogger, warn: note, info: note },
    });
    expect(await works(strict)).toBe(true);
    expect(await definitions()).toEqual(before);
    expect(texts).toEqual([]);
  });

  test('stands where it is otherwise than ours', async () => {
    const before = await definitions();
    await using farm = await startFarm();
    expect(await works(farm)).toBe(true);
    expect(await definitions()).toEqual(before);
  });

  test('takes the policies of the example', async () => {
    await server.control('import_definitions', new URL('policies.json', FOLDER).pathname);
    expect((await definitions())['policies']).toEqual(
      expect.arrayContaining([expect.stringContaining('"overflow":"reject-publish"')]),
    );
    await using farm = await startFarm();
    expect(await works(farm, { OSFamily: 'linux' })).toBe(true);
  });

  test('gives the user no more than what is named after Warren', async () => {
    const connection = await connect({
      hostname: '127.0.0.1',
      port: server.port,
      vhost: 'warren',
      username: 'warren',
      password: PASSWORD,
    });
    const channel = await connection.createChannel();
    channel.on('error', () => {});
    await expect(channel.assertQueue('elsewhere')).rejects.toThrow('ACCESS_REFUSED');
    await connection.close();
  });
});

describe('an encrypted connection', () => {
  test('with a certificate of ours needs no password', async () => {
    const ours = await authority.issue('warren');
    await using farm = await startFarm({
      addresses: [{ host: 'localhost', port: tlsPort }],
      username: 'nobody',
      password: 'wrong',
      tls: await readTlsFiles({ authoritiesFile: serverCertificate.certificateFile, ...ours }),
    });
    expect(await works(farm)).toBe(true);
  });

  test('goes by name and password too, under the name that the certificate bears', async () => {
    await using farm = await startFarm({
      addresses: [{ host: '127.0.0.1', port: tlsPort }],
      tls: {
        ...(await readTlsFiles({ authoritiesFile: serverCertificate.certificateFile })),
        serverName: 'localhost',
      },
    });
    expect(await works(farm)).toBe(true);
  });

  test('to a broker of another authority is refused', async () => {
    const options = { addresses: [{ host: 'localhost', port: tlsPort }], tls: {} };
    const broker = brokerOf(options);
    const giveUp = new AbortController();
    const started = broker.start(giveUp.signal);
    await expect.poll(() => warnings.some((each) => /self-signed/i.test(each)), { timeout: 20_000 }).toBe(true);
    giveUp.abort(new Error('enough'));
    await expect(started).rejects.toThrow('enough');
    await broker.stop();
  });
});

const warnings: string[] = [];

/** A broker that is not started, and whose warnings are kept. */
function brokerOf(changes: Partial<BrokerConnectionOptions>): RabbitmqBroker {
  const logger = {
    ...silentLogger,
    warn: ({ err }: { err?: unknown }) => warnings.push(String(err)),
    child: () => silentLogger,
  };
  return new RabbitmqBroker({
    connection: connectionOf({ ...changes, logger }),
    queues: { type: 'classic', priorityLevels: 10, expires: 3_600_000 },
    registry: new InProcessWorkQueueRegistry({ clock, maxQueues: 10, idleTimeout: 3_600_000 }),
    replicaId: 'not-started',
    persistentMessages: true,
    maxUnconfirmed: 10,
    events: false,
    refreshQueuesEvery: 60_000,
    clock,
    logger,
  });
}

describe('several addresses', () => {
  test('are tried until one answers', async () => {
    const [closed = 0] = await freePorts(1);
    const addresses = [closed, server.port].map((port) => ({ host: '127.0.0.1', port }));
    await using farm = await startFarm({ addresses });
    expect(await works(farm)).toBe(true);
  });

  test('take over from each other', async () => {
    const proxy = new DelayingProxy({ targetPort: server.port, delayMilliseconds: 0 });
    const addresses = [await proxy.listen(), server.port].map((port) => ({ host: '127.0.0.1', port }));
    await using farm = await startFarm({ addresses });
    const waiting = farm.replica.takeNext(interestOf('', { pool: 'fail-over' }), never);
    await proxy.close();
    await expect
      .poll(
        () =>
          farm.replica.offerWork(workMessage('', 'after', { pool: 'fail-over' }), never).then(
            () => true,
            () => false,
          ),
        {
          timeout: 20_000,
        },
      )
      .toBe(true);
    const delivery = await waiting;
    expect(delivery.work.jobId).toBe('after');
    delivery.acknowledge();
  });
});

describe('a broker that is slow to confirm', () => {
  test('is sent no more than the bound: further work is RESOURCE_EXHAUSTED with RetryInfo', async () => {
    farms += 1;
    await using farm = await RabbitmqFarm.start(server, `deployment-${farms}`, 1, {
      connection: connectionOf(),
      maxUnconfirmed: 2,
    });
    expect(await works(farm, { pool: 'bound' })).toBe(true);
    const offers = await Promise.allSettled(
      Array.from({ length: 50 }, (_, i) =>
        farm.replica.offerWork(workMessage('', `job-${i}`, { pool: 'bound' }), never),
      ),
    );
    const refused = offers.filter((each) => each.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    expect(offers.length - refused.length).toBeGreaterThanOrEqual(2);
    expect(refused[0]?.reason).toMatchObject({
      code: StatusCode.RESOURCE_EXHAUSTED,
      details: [{ kind: 'retry-info' }],
    });
  });
});

describe('the event tap', () => {
  test.each([
    ['team/a.b', 'completed.team%2Fa%2Eb', true],
    ['', 'completed.', true],
    ['main', 'completed.*', false],
    ['a.b/c', '#', false],
  ])("shows instance '%s' to who binds %s", async (instanceName, pattern, alone) => {
    await using farm = await startFarm();
    const operator = await connect({
      hostname: '127.0.0.1',
      port: server.port,
      vhost: 'warren',
      username: 'warren',
      password: PASSWORD,
    });
    const channel = await operator.createChannel();
    const { queue } = await channel.assertQueue(`warren.tap-${farms}`, { exclusive: true });
    await channel.bindQueue(queue, EVENTS_EXCHANGE, pattern);
    const { actionDigest, requirement } = workMessage(instanceName, 'x');
    const event = (state: JobState, name: string) => ({
      jobId: 'job-1',
      instanceName: name,
      state,
      attempts: 1,
      actionDigest,
      requirement: requirement.key,
      botId: 'bot',
      at: 5,
      tool: '',
      target: '',
      mnemonic: '',
      invocation: '',
    });
    const shown: string[] = [];
    await expect
      .poll(
        async () => {
          // What nobody took at first is held back for a moment.
          farm.replica.publishEvent(event('completed', 'elsewhere.and/further'));
          farm.replica.publishEvent(event('completed', instanceName));
          const message = await channel.get(queue, { noAck: true });
          if (message !== false)
            shown.push((JSON.parse(message.content.toString()) as { instanceName?: string }).instanceName ?? 'a hint');
          return shown;
        },
        { timeout: 10_000 },
      )
      .toContain(instanceName);
    expect(shown.includes('elsewhere.and/further')).toBe(!alone);
    await operator.close();
  });
});

test('a dead letter that an operator publishes to warren.redeliver reaches one replica', async () => {
  await using farm = await startFarm();
  const letter = workMessage('', 'dead');
  await farm.replica.publishDeadLetter({ work: letter, reason: 'given up', at: 7 });
  const heard: string[] = [];
  const stop = farm.replica.onRedelivery(async ({ jobId }) => {
    heard.push(jobId);
  });
  const operator = await connect({
    hostname: '127.0.0.1',
    port: server.port,
    vhost: 'warren',
    username: 'warren',
    password: PASSWORD,
  });
  const channel = await operator.createChannel();
  let message = await channel.get('warren.dead');
  await expect
    .poll(
      async () => {
        if (message === false) message = await channel.get('warren.dead');
        return message !== false;
      },
      { timeout: 10_000 },
    )
    .toBe(true);
  if (message === false) throw new Error('no letter');
  channel.publish(REDELIVER_EXCHANGE, '', message.content, message.properties);
  channel.ack(message);
  await expect.poll(() => heard, { timeout: 10_000 }).toEqual(['dead']);
  stop();
  await operator.close();
});

test("dead letters that the console's move brings to warren.redeliver reach one replica", async () => {
  await using farm = await startFarm();
  for (const jobId of ['moved-1', 'moved-2']) {
    await farm.replica.publishDeadLetter({ work: workMessage('', jobId), reason: 'given up', at: 7 });
  }
  const heard: string[] = [];
  const stop = farm.replica.onRedelivery(async ({ jobId }) => {
    heard.push(jobId);
  });
  await moveMessages('letters', 'warren.dead', 'warren.redeliver');
  await expect.poll(() => heard.toSorted(), { timeout: 20_000 }).toEqual(['moved-1', 'moved-2']);
  stop();
});

test("work that the console's move brings to where no bot fits it comes back, and is no copy", async () => {
  await using farm = await startFarm();
  const [moved, other] = [
    workMessage('', 'moved', { OSFamily: 'linux' }),
    workMessage('', 'other', { OSFamily: 'macos' }),
  ];
  for (const work of [moved, other]) await farm.replica.offerWork(work, never);
  const returned: ReturnedWork[] = [];
  const stop = farm.replica.onReturned(async (each) => {
    returned.push(each);
  });
  await moveMessages('work', workQueueName(moved), workQueueName(other));
  const taken: string[] = [];
  await expect
    .poll(
      async () => {
        const delivery = await farm.replica.takeNow(interestOf('', { OSFamily: 'macos' }), never);
        delivery?.acknowledge();
        if (delivery !== undefined) taken.push(delivery.work.jobId);
        return returned;
      },
      { timeout: 20_000 },
    )
    .toEqual([{ work: moved, why: 'misplaced' }]);
  expect(taken).toEqual(['other']);
  stop();
});

test('what can be dealt with later comes again, and what never can is dropped', async () => {
  await using farm = await startFarm();
  const heard: string[] = [];
  const stop = farm.replica.onRedelivery(async ({ jobId }) => {
    heard.push(jobId);
    if (jobId === 'never') throw new Error('a fault of ours');
    if (heard.length === 1) throw unavailable('the store is away', 100);
  });
  await farm.replica.redeliver(workMessage('', 'later'), never);
  await expect.poll(() => heard, { timeout: 20_000 }).toEqual(['later', 'later']);
  await farm.replica.redeliver(workMessage('', 'never'), never);
  await farm.replica.redeliver(workMessage('', 'next'), never);
  await expect.poll(() => heard, { timeout: 20_000 }).toEqual(['later', 'later', 'never', 'next']);
  stop();
});

test('dead letters are shown in order and stay, but for those that are removed', async () => {
  await using farm = await startFarm();
  for (const jobId of ['one', 'two', 'three']) {
    await farm.replica.publishDeadLetter({ work: workMessage('', jobId), reason: `why ${jobId}`, at: 7 });
  }
  const shown = async (remove: string) => {
    const seen: string[] = [];
    await farm.replica.visitDeadLetters(
      async ({ work, reason, at }) => {
        seen.push(`${work.jobId} ${reason} ${at}`);
        return work.jobId === remove ? 'remove' : 'keep';
      },
      100,
      never,
    );
    return seen;
  };
  const all = ['one why one 7', 'two why two 7', 'three why three 7'];
  await expect.poll(() => shown(''), { timeout: 10_000 }).toEqual(all);
  await shown('two');
  await expect.poll(() => shown(''), { timeout: 10_000 }).toEqual([all[0], all[2]]);
  await expect(farm.replica.visitDeadLetters(() => Promise.reject(new Error('no')), 100, never)).rejects.toThrow('no');
  await expect.poll(() => shown('one'), { timeout: 10_000 }).toEqual([all[0], all[2]]);
  await expect.poll(() => shown('three'), { timeout: 10_000 }).toEqual([all[2]]);
});

for (const type of ['classic', 'quorum'] as const) {
  describeBroker(`RabbitmqBroker on ${type} queues`, async (): Promise<BrokerFixture> => {
    farms += 1;
    const name = `suite-${farms}`;
    const farm = await RabbitmqFarm.start(server, name, 2, {
      connection: connectionOf(),
      queues: { type, priorityLevels: 10, expires: 3_600_000 },
    });
    const [broker, other] = farm.replicas;
    if (broker === undefined || other === undefined) throw new Error('no replica');
    return {
      broker,
      other,
      replicaIds: [`${name}-replica-0`, `${name}-replica-1`],
      instanceName: name,
      priorities: type === 'classic',
      [Symbol.asyncDispose]: () => farm[Symbol.asyncDispose](),
    };
  });
}
