import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  ExecuteOperationMetadata,
  ExecutionService,
  WaitExecutionRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { conformanceFiles, runConformance } from '../support/conformance-run.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { RedisServer } from '../support/redis-server.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { active, completed, SimulatedBot } from '../support/simulated-bot.ts';
import { ExecutionStream, Stage, Tenant } from '../support/tenant.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { WireClient } from '../support/wire-client.ts';

/** Two replicas of every role on one Redis and one RabbitMQ, over the storage of a third server. */

/** Milliseconds after an action's end within which a client has its answer at another replica than it began with. */
const ANSWERED_WITHIN_MS = 1_000;

const LEASE_SECONDS = 4;

/** A stall of a busy machine is tried again; what breaks a promise breaks it every time. */
const TIMED = { retry: 2 };

let redis: RedisServer;
let rabbitmq: RabbitmqServer;
let folder: string;
let storage: RunningServer;
let replicas: RunningServer[];
let clients: WireClient[];

beforeAll(async () => {
  redis = await RedisServer.start({ appendOnly: true });
  rabbitmq = await RabbitmqServer.start();
  folder = await temporaryFolder('replicas');
  const disk = (name: string) => ({ kind: 'disk', directory: join(folder, name), maximumSizeBytes: 1_000_000_000 });
  storage = await startServe(folder, 'storage', {
    roles: ['cas', 'action-cache'],
    blobs: disk('blobs'),
    actionCache: disk('action-cache'),
  });
});

afterAll(async () => {
  await storage?.stop();
  await rabbitmq?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
  if (folder !== undefined) await removeFolder(folder);
});

async function startReplica(name: string, scheduling: object = {}): Promise<RunningServer> {
  const remote = { kind: 'remote', endpoint: `grpc://${storage.address}` };
  const replica = await startServe(folder, name, {
    blobs: remote,
    actionCache: remote,
    uploads: { shared: { addresses: [`127.0.0.1:${redis.port}`], keyPrefix: 'uploads:' } },
    redis: { addresses: [`127.0.0.1:${redis.port}`] },
    rabbitmq: { addresses: [`127.0.0.1:${rabbitmq.port}`] },
    scheduling,
  });
  replicas.push(replica);
  return replica;
}

function tenantOf(...servers: readonly RunningServer[]): Tenant {
  const client = new WireClient(servers.map((each) => each.address));
  clients.push(client);
  return new Tenant(client, '');
}

function waitExecution(tenant: Tenant, name: string): ExecutionStream {
  const request = WaitExecutionRequest.create({ name });
  return new ExecutionStream(tenant.client.serverStream(ExecutionService.waitExecution, request, { deadline: 20_000 }));
}

/** A platform that only the bots of one test offer. */
function ownPlatform() {
  const property = ['OSFamily', `replicas-${randomUUID()}`] as const;
  const platform = { properties: [{ name: property[0], value: property[1] }] };
  return { action: { platform }, bot: (tenant: Tenant) => new SimulatedBot(tenant.client, { properties: [property] }) };
}

beforeEach(() => {
  replicas = [];
  clients = [];
});

afterEach(async () => {
  for (const client of clients) client.close();
  for (const replica of replicas) await replica.stop();
});

describe('two replicas', () => {
  test('keep the rules of the protocol with calls spread over both', { timeout: 900_000 }, async () => {
    const [one, two] = [await startReplica('one'), await startReplica('two')];
    expect(await runConformance([one.address, two.address], await conformanceFiles())).toBe('');
  });
});

describe('kill -9 of a replica', () => {
  test('that holds a stream and a lease: client and bot go on at the other', TIMED, async () => {
    const [one, two] = [await startReplica('one'), await startReplica('two')];
    const [dying, other] = [tenantOf(one), tenantOf(two)];
    const { action, bot } = ownPlatform();
    const prepared = await dying.prepare({ action });
    const execution = dying.execute(prepared.action.digest);
    const name = await execution.name();
    const worker = bot(dying);
    const lease = await worker.nextLease();
    await one.kill();
    const waiting = waitExecution(other, name);
    await waiting.next();
    const begun = performance.now();
    await worker.at(other.client).update([completed(lease, { exitCode: 7 })]);
    const response = await waiting.finish();
    // From before the bot's report to the client's answer: more than what is promised.
    expect(performance.now() - begun).toBeLessThan(ANSWERED_WITHIN_MS);
    expect(response.result?.exitCode).toBe(7);
    expect(response.status?.code ?? 0).toBe(0);
  });

  test('that took the work: a bot of the other runs it', async () => {
    const [one, two] = [await startReplica('one'), await startReplica('two')];
    const [dying, other] = [tenantOf(one), tenantOf(two)];
    const { action, bot } = ownPlatform();
    const prepared = await dying.prepare({ action });
    const name = await dying.execute(prepared.action.digest).name();
    await one.kill();
    const waiting = waitExecution(other, name);
    await waiting.next();
    await bot(other).serveOne({ exitCode: 3 });
    expect((await waiting.finish()).result?.exitCode).toBe(3);
  });

  test('at which a log is written and read: both go on at the other', async () => {
    const [one, two] = [await startReplica('one'), await startReplica('two')];
    const [dying, other] = [tenantOf(one), tenantOf(two)];
    const { action, bot } = ownPlatform();
    const prepared = await dying.prepare({ action });
    const execution = dying.execute(prepared.action.digest);
    const worker = bot(dying);
    const lease = await worker.nextLease();
    const { trailers } = await worker.updateWithTrailers([active(lease)]);
    const [encoded] = trailers.get('executeoperationmetadata-bin') as Buffer[];
    const resourceName = ExecuteOperationMetadata.decode(encoded ?? Buffer.alloc(0)).stdoutStreamName;
    const { metadata, operation } = await execution.until(Stage.EXECUTING);
    await dying.write({ resourceName, data: Buffer.from('begun ') });
    await one.kill();
    const waiting = waitExecution(other, operation.name);
    await waiting.next();
    const reading = other.read(metadata.stdoutStreamName);
    const { committedSize } = await other.queryWriteStatus(resourceName);
    expect(committedSize).toBe(6n);
    await other.write({ resourceName, writeOffset: committedSize, data: Buffer.from('done'), finishWrite: true });
    expect((await reading).toString()).toBe('begun done');
    await worker.at(other.client).update([completed(lease)]);
    await waiting.finish();
  });
});

describe('a lost worker', () => {
  test('has its action run again by another within the lease time and 2 s', TIMED, async () => {
    const scheduling = { leaseSeconds: LEASE_SECONDS };
    const [one, two] = [await startReplica('one', scheduling), await startReplica('two', scheduling)];
    const [tenant, other] = [tenantOf(one), tenantOf(two)];
    const { action, bot } = ownPlatform();
    const prepared = await tenant.prepare({ action });
    const execution = tenant.execute(prepared.action.digest);
    await execution.name();
    const lost = bot(tenant);
    const lease = await lost.nextLease();
    await lost.update([active(lease)]);
    const begun = performance.now();
    const again = await bot(other).nextLease();
    const seconds = (performance.now() - begun) / 1_000;
    expect(again.id).not.toBe(lease.id);
    expect(seconds).toBeLessThan(LEASE_SECONDS + 2);
    // The lost one was given its time.
    expect(seconds).toBeGreaterThan(LEASE_SECONDS / 2);
    execution.cancel();
  });
});

describe('RabbitMQ', () => {
  test('killed and started again while work waits: the work is run', { timeout: 120_000 }, async () => {
    const tenant = tenantOf(await startReplica('one'), await startReplica('two'));
    const { action, bot } = ownPlatform();
    const prepared = await tenant.prepare({ action });
    const name = await tenant.execute(prepared.action.digest, {}, { deadline: 100_000 }).name();
    await rabbitmq.kill();
    await rabbitmq.process.start();
    const waiting = waitExecution(tenant, name);
    await bot(tenant).serveOne({ exitCode: 4 });
    expect((await waiting.finish()).result?.exitCode).toBe(4);
  });
});

describe('Redis', () => {
  test('killed and started again on its append-only file while work waits: the work is run', {
    timeout: 120_000,
  }, async () => {
    const tenant = tenantOf(await startReplica('one'), await startReplica('two'));
    const { action, bot } = ownPlatform();
    const prepared = await tenant.prepare({ action });
    const name = await tenant.execute(prepared.action.digest, {}, { deadline: 100_000 }).name();
    await redis.process.stop('SIGKILL');
    await redis.process.start();
    const waiting = waitExecution(tenant, name);
    await bot(tenant).serveOne({ exitCode: 5 });
    expect((await waiting.finish()).result?.exitCode).toBe(5);
  });
});
