import { randomUUID } from 'node:crypto';
import { type ChannelModel, type ConfirmChannel, connect, type GetMessage } from 'amqplib';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { EVENTS_EXCHANGE, WORK_EXCHANGE, workQueueName } from '../../src/adapters/broker/rabbitmq/names.ts';
import { createRequirement } from '../../src/domain/platform.ts';
import { DelayingProxy } from '../support/delaying-proxy.ts';
import { leftoversInRabbitmq, leftoversInRedis } from '../support/faults/leftovers.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { RedisServer } from '../support/redis-server.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { completed, SimulatedBot } from '../support/simulated-bot.ts';
import { type ExecutionStream, Tenant } from '../support/tenant.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { WireClient } from '../support/wire-client.ts';

/**
 * A replica dies with a work message in hand, at each step of giving it to a bot: the broker gives the message to
 * another, and Redis says what became of the job.
 */
const PATIENCE = { timeout: 30_000, interval: 50 };
/** Longer than any case: the calls end with the replica. */
const HELD = { deadline: 120_000 };
let redis: RedisServer;
let rabbitmq: RabbitmqServer;
let folder: string;
let operator: ChannelModel;
let channel: ConfirmChannel;
let tap: string;
let front: RunningServer;
let other: RunningServer;
let dying: RunningServer;
/** The link between the replica that dies and Redis. */
let link: DelayingProxy;
let clients: WireClient[];

beforeAll(async () => {
  redis = await RedisServer.start();
  rabbitmq = await RabbitmqServer.start({ management: true });
  folder = await temporaryFolder('work-in-hand');
  operator = await connect(rabbitmq.url);
  channel = await operator.createConfirmChannel();
  front = await startServe(folder, 'front', {
    ...farm(redis.port),
    roles: ['execution', 'operations', 'cas', 'action-cache'],
    blobs: { kind: 'memory' },
    actionCache: { kind: 'memory' },
  });
  other = await startBotServer('other', redis.port);
  // The exchange is there since the first replica: from now on each event is heard.
  tap = (await channel.assertQueue('', { exclusive: true })).queue;
  await channel.bindQueue(tap, EVENTS_EXCHANGE, '#');
}, 240_000);

afterAll(async () => {
  await other?.kill();
  await front?.kill();
  await operator?.close();
  await rabbitmq?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
  if (folder !== undefined) await removeFolder(folder);
});

beforeEach(async () => {
  clients = [];
  link = new DelayingProxy({ targetPort: redis.port, delayMilliseconds: 0 });
  dying = await startBotServer('dying', await link.listen());
  await channel.purgeQueue(tap);
});

afterEach(async () => {
  for (const client of clients) client.close();
  await dying.kill();
  await link.close();
});

function farm(redisPort: number): object {
  return {
    redis: { addresses: [`127.0.0.1:${redisPort}`] },
    rabbitmq: { addresses: [`127.0.0.1:${rabbitmq.port}`] },
  };
}

function startBotServer(name: string, redisPort: number): Promise<RunningServer> {
  const remote = { kind: 'remote', endpoint: `grpc://${front.address}` };
  return startServe(folder, name, { ...farm(redisPort), roles: ['bots'], blobs: remote, actionCache: remote });
}

function clientOf({ address }: RunningServer): WireClient {
  const client = new WireClient([address]);
  clients.push(client);
  return client;
}

type Prepared = Awaited<ReturnType<typeof prepare>>;

/** A job that waits, its message in the operator's hand, and a bot of the replica that is to die, idle on its queue. */
async function prepare() {
  const property = ['pool', randomUUID()] as const;
  const tenant = new Tenant(clientOf(front), '');
  const platform = { properties: [{ name: property[0], value: property[1] }] };
  const { action } = await tenant.prepare({ action: { platform } });
  const execution = tenant.execute(action.digest, {}, HELD);
  await execution.name();
  const requirement = createRequirement([{ name: property[0], value: property[1] }]);
  const queue = workQueueName({ instanceName: '', requirement });
  const message = await got(queue);
  const { job } = JSON.parse(message.content.toString()) as { readonly job: string };
  const bot = new SimulatedBot(clientOf(dying), { properties: [property] });
  await bot.create();
  // It ends as its replica does.
  void bot.update([], {}, HELD).catch(() => {});
  await expect.poll(async () => (await channel.checkQueue(queue)).consumerCount, PATIENCE).toBe(1);
  const publish = async () => {
    channel.publish(WORK_EXCHANGE, queue, message.content, message.properties);
    await channel.waitForConfirms();
  };
  const newBot = () => new SimulatedBot(clientOf(other), { properties: [property] });
  return { execution, queue, job, bot, publish, newBot };
}

async function got(queue: string): Promise<GetMessage> {
  let message: GetMessage | false = false;
  await expect
    .poll(async () => {
      message = await channel.get(queue, { noAck: true });
      return message;
    }, PATIENCE)
    .not.toBe(false);
  return message as unknown as GetMessage;
}

/** The client has its answer, nobody was told of another end, and nothing is left anywhere. */
async function expectOneEnd(
  execution: ExecutionStream,
  job: string,
  { exitCode, told }: { readonly exitCode: number; readonly told: readonly string[] },
): Promise<void> {
  const response = await execution.finish();
  expect(response.status?.code ?? 0).toBe(0);
  expect(response.result?.exitCode).toBe(exitCode);
  await expect.poll(() => leftoversInRedis(redis.port), PATIENCE).toEqual([]);
  const states: string[] = [];
  await expect
    .poll(async () => {
      for (;;) {
        const event = await channel.get(tap, { noAck: true });
        if (event === false) break;
        const { jobId, state } = JSON.parse(event.content.toString()) as Record<string, string>;
        if (jobId === job && state !== undefined) states.push(state);
      }
      return states.includes('completed');
    }, PATIENCE)
    .toBe(true);
  expect(states).toEqual(told);
  await expect.poll(() => leftoversInRabbitmq(rabbitmq, 2), PATIENCE).toEqual([]);
}

describe.each([
  [
    'before Redis hears of it',
    (job: string) => {
      link.hold('up');
      return link.untilSent('up', `${job}.1`);
    },
  ],
  [
    'while Redis hangs, which takes in afterwards what was sent',
    (job: string) => {
      redis.process.signal('SIGSTOP');
      return link.untilSent('up', `${job}.1`);
    },
  ],
  [
    "when the bot's session has the lease, and the job not yet",
    (job: string) => link.untilSent('up', `${job}.1`).then(() => link.hold('down')),
  ],
] as const)('a replica that is killed with a work message in hand, %s,', (_moment, reach) => {
  test.each([
    ['a bot of another', ({ newBot }: Prepared) => newBot()],
    ['the same bot, which goes to another', ({ bot }: Prepared) => bot.at(clientOf(other))],
  ] as const)('leaves it to %s', async (_whom, next) => {
    const prepared = await prepare();
    const { execution, job, bot, publish } = prepared;
    const reached = reach(job);
    await publish();
    await reached;
    await dying.kill();
    redis.process.signal('SIGCONT');
    await next(prepared).serveOne({ exitCode: 3 });
    // Its session may have had the lease while the job was another's.
    expect((await bot.at(clientOf(other)).update([])).leases).toEqual([]);
    await expectOneEnd(execution, job, { exitCode: 3, told: ['leased', 'completed'] });
  });
});

test('a replica that is killed between lease and acknowledgement leaves the job to its bot, and the message to be dropped', async () => {
  const { execution, queue, job, bot, publish, newBot } = await prepare();
  const sent = link.untilSent('up', `:job:${job}`).then(() => link.hold('down'));
  await publish();
  await sent;
  await dying.kill();
  const idle = newBot();
  await idle.create();
  void idle.update([], {}, HELD).catch(() => {});
  await expect
    .poll(async () => {
      const { messageCount, consumerCount } = await channel.checkQueue(queue);
      return { messageCount, consumerCount };
    }, PATIENCE)
    .toEqual({ messageCount: 0, consumerCount: 1 });
  const moved = bot.at(clientOf(other));
  const lease = await moved.nextLease();
  expect(lease.id).toBe(`${job}.1`);
  await moved.update([completed(lease, { exitCode: 5 })]);
  // The lease was never told: who gave it had no answer.
  await expectOneEnd(execution, job, { exitCode: 5, told: ['completed'] });
});
