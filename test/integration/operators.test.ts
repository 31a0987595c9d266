import { afterAll, beforeAll, expect, test } from 'vitest';
import { type CommandLineOutcome, commandLine, startCommandLine } from '../support/command-line.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { RedisServer } from '../support/redis-server.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** What an operator does at one replica holds at another: two processes, a real Redis and a real RabbitMQ. */
const PATIENCE = { timeout: 30_000, interval: 200 };
let folder: string;
let redis: RedisServer;
let rabbitmq: RabbitmqServer;
let one: RunningServer;
let two: RunningServer;

beforeAll(async () => {
  folder = await temporaryFolder('operators');
  redis = await RedisServer.start();
  rabbitmq = await RabbitmqServer.start();
  const common = {
    redis: { addresses: [`127.0.0.1:${redis.port}`] },
    rabbitmq: { addresses: [`127.0.0.1:${rabbitmq.port}`] },
    scheduling: { unservedSeconds: 2 },
  };
  one = await startServe(folder, 'one', {
    ...common,
    roles: ['execution', 'operations', 'bots', 'cas', 'action-cache'],
    blobs: { kind: 'memory' },
    actionCache: { kind: 'memory' },
  });
  const shared = { kind: 'remote', endpoint: `grpc://${one.address}` };
  two = await startServe(folder, 'two', {
    ...common,
    roles: ['execution', 'operations', 'bots', 'cas', 'action-cache'],
    blobs: shared,
    actionCache: shared,
  });
}, 240_000);

afterAll(async () => {
  await two?.kill();
  await one?.kill();
  await rabbitmq?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
  await removeFolder(folder);
});

interface Queue {
  readonly requirement: string;
  readonly paused: boolean;
  readonly waitingJobs: number;
  readonly waitingMessages: number;
  readonly reason: string;
}

const atOne = (...args: readonly string[]): Promise<CommandLineOutcome> => commandLine(one.address, ...args);
const atTwo = (...args: readonly string[]): Promise<CommandLineOutcome> => commandLine(two.address, ...args);

async function queueAt(warren: typeof atOne, requirement: string): Promise<Queue | undefined> {
  const queues = (await warren('queue', 'list', '--json')).json() as Queue[];
  return queues.find((each) => each.requirement === requirement);
}

test('a pause at one replica holds at the other, where it is taken back', async () => {
  await atOne('queue', 'pause', 'ISA=arm');
  const run = startCommandLine(one.address, 'exec', '--platform', 'ISA=arm', '--', 'true');
  await expect
    .poll(() => queueAt(atTwo, 'ISA=arm'), PATIENCE)
    .toMatchObject({ paused: true, waitingJobs: 1, waitingMessages: 1, reason: 'the queue is paused' });
  await atTwo('queue', 'resume', 'ISA=arm');
  expect(await queueAt(atOne, 'ISA=arm')).toMatchObject({ paused: false });
  expect((await run.outcome).stderr).toContain("no bot is connected to instance ''");
});

test('a dead letter is read and sent again at another replica than that of its client', async () => {
  const list = async () => (await atTwo('dead-letters', 'list', '--json')).json() as Array<{ jobId: string }>;
  await atTwo('dead-letters', 'drop', '--all');
  await atOne('exec', '--platform', 'ISA=riscv', '--', 'true');
  await expect.poll(list, PATIENCE).toHaveLength(1);
  const [letter] = await list();
  expect((await atTwo('dead-letters', 'resend', letter?.jobId ?? '')).exitCode).toBe(0);
  // Nobody can run it now either: it comes back, as the letter of another job.
  await expect.poll(list, PATIENCE).toHaveLength(1);
  expect((await list())[0]?.jobId).not.toBe(letter?.jobId);
  expect((await atOne('dead-letters', 'drop', '--all')).exitCode).toBe(0);
  expect(await list()).toEqual([]);
});

test('a drain at one replica is known at the other', async () => {
  await atOne('bots', 'drain', 'rack-7-*', '--comment', 'new kernel');
  const drains = async () => (await atTwo('bots', 'drains', '--json')).json();
  await expect.poll(drains, PATIENCE).toEqual([{ pattern: 'rack-7-*', comment: 'new kernel' }]);
  await atTwo('bots', 'undrain', 'rack-7-*');
  await expect.poll(async () => (await atOne('bots', 'drains', '--json')).json(), PATIENCE).toEqual([]);
});
