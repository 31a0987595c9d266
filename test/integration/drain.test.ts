import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  ExecutionService,
  WaitExecutionRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { ByteStreamService, WriteRequest } from '../../src/proto/google/bytestream/bytestream.ts';
import {
  HealthCheckRequest,
  HealthService,
  HealthCheckResponse_ServingStatus as Status,
} from '../../src/proto/grpc/health/v1/health.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { RedisServer } from '../support/redis-server.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { completed, SimulatedBot } from '../support/simulated-bot.ts';
import { ExecutionStream, freshBlob, Tenant } from '../support/tenant.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { type Failure, failure, WireClient } from '../support/wire-client.ts';

/**
 * One of two replicas is told to stop (SIGTERM) in the midst of everything that a call can be about: a client waits for
 * its action, a bot for work, another bot runs some, an upload is half there.
 */

interface Outcomes {
  readonly health: ReadonlyArray<Status | 'end'>;
  readonly readiness: number;
  readonly waitingClient: Failure;
  readonly waitingBot: Failure;
  readonly uploadedWhole: boolean;
  readonly exitCode: number | null;
  /** The exit code of the action that was in a bot's hands, as the client hears it at the other replica. */
  readonly actionExitCode: number | undefined;
}

let redis: RedisServer;
let rabbitmq: RabbitmqServer;
let folder: string;
let storage: RunningServer;
let staying: RunningServer;
let leaving: RunningServer;
const clients: WireClient[] = [];
let outcomes: Outcomes;

beforeAll(async () => {
  [redis, rabbitmq, folder] = await Promise.all([
    RedisServer.start(),
    RabbitmqServer.start(),
    temporaryFolder('drain'),
  ]);
  const memory = { kind: 'memory', maximumSizeBytes: 16 * 1024 * 1024 };
  storage = await startServe(folder, 'storage', { roles: ['cas', 'action-cache'], blobs: memory, actionCache: memory });
  [staying, leaving] = await Promise.all([startReplica('staying'), startReplica('leaving')]);
  outcomes = await drainInTheMidst();
}, 240_000);

afterAll(async () => {
  for (const client of clients) client.close();
  await Promise.all([staying, leaving, storage].map((server) => server?.stop()));
  await rabbitmq?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
  if (folder !== undefined) await removeFolder(folder);
}, 60_000);

function startReplica(name: string): Promise<RunningServer> {
  const remote = { kind: 'remote', endpoint: `grpc://${storage.address}` };
  return startServe(folder, name, {
    server: { listen: '127.0.0.1:0', drainSeconds: 60 },
    console: { listen: '127.0.0.1:0' },
    blobs: remote,
    actionCache: remote,
    redis: { addresses: [`127.0.0.1:${redis.port}`] },
    rabbitmq: { addresses: [`127.0.0.1:${rabbitmq.port}`] },
  });
}

function tenantOf(server: RunningServer): Tenant {
  const client = new WireClient([server.address]);
  clients.push(client);
  return new Tenant(client, '');
}

async function drainInTheMidst(): Promise<Outcomes> {
  const [here, there] = [tenantOf(leaving), tenantOf(staying)];
  const property = ['OSFamily', `drain-${randomUUID()}`] as const;
  const action = { platform: { properties: [{ name: property[0], value: property[1] }] } };

  const prepared = await here.prepare({ action });
  const execution = here.execute(prepared.action.digest, {}, { deadline: 120_000 });
  const name = await execution.name();
  const worker = new SimulatedBot(here.client, { properties: [property] });
  const lease = await worker.nextLease();
  const waitingClient = failure(execution.finish());

  const idle = new SimulatedBot(here.client, { properties: [['OSFamily', 'nothing']] });
  await idle.create();
  const waitingBot = failure(idle.update([], {}, { deadline: 120_000 }));

  const blob = freshBlob('half of it is sent before, half after: ');
  const upload = here.client.clientStream(ByteStreamService.write, { deadline: 120_000 });
  const half = 10;
  await upload.write(
    WriteRequest.create({ resourceName: here.writeName(blob.digest), data: blob.data.subarray(0, half) }),
  );

  const watch = here.client.serverStream(HealthService.watch, HealthCheckRequest.create(), { deadline: 120_000 });
  const statuses = watch[Symbol.asyncIterator]();
  const first = await statuses.next();

  const stopped = leaving.stop();
  const failures = await Promise.all([waitingClient, waitingBot]);
  const second = await statuses.next();
  const last = await statuses.next();
  const readiness = (await fetch(`http://127.0.0.1:${leaving.consolePort}/readyz`)).status;
  await upload.write(
    WriteRequest.create({ writeOffset: BigInt(half), data: blob.data.subarray(half), finishWrite: true }),
  );
  upload.end();
  await upload.result;
  const exitCode = await stopped;

  const request = WaitExecutionRequest.create({ name });
  const waiting = new ExecutionStream(
    there.client.serverStream(ExecutionService.waitExecution, request, { deadline: 60_000 }),
  );
  await waiting.next();
  await worker.at(there.client).update([completed(lease, { exitCode: 7 })]);
  const response = await waiting.finish();
  return {
    health: [first, second, last].map(({ done, value }) => (done === true ? 'end' : value.status)),
    readiness,
    waitingClient: failures[0],
    waitingBot: failures[1],
    uploadedWhole: await there.has(blob.digest),
    exitCode,
    actionExitCode: response.result?.exitCode,
  };
}

describe('a replica that is told to stop', () => {
  test('turns NOT_SERVING, and not ready, while it still answers', () => {
    expect(outcomes.health).toEqual([Status.SERVING, Status.NOT_SERVING, 'end']);
    expect(outcomes.readiness).toBe(503);
  });

  test("ends a client's stream with UNAVAILABLE and RetryInfo, so that it waits elsewhere", () => {
    expect(outcomes.waitingClient).toMatchObject({ code: 'UNAVAILABLE', retryDelaySeconds: 0.1 });
  });

  test("ends a bot's long poll in the same way", () => {
    expect(outcomes.waitingBot).toMatchObject({ code: 'UNAVAILABLE', retryDelaySeconds: 0.1 });
  });

  test('lets an upload come to its end', () => {
    expect(outcomes.uploadedWhole).toBe(true);
  });

  test('leaves the work of its bots to the others: the result reported there reaches the client there', () => {
    expect(outcomes.actionExitCode).toBe(7);
  });

  test('ends well once nothing is left to do', () => {
    expect(outcomes.exitCode).toBe(0);
  });
});
