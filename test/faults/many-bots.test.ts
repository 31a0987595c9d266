import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Digest } from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { AnsweringBot } from '../support/faults/answering-bot.ts';
import { answerOf, answerTo } from '../support/faults/known-answers.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { RedisServer } from '../support/redis-server.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { leasedAction } from '../support/simulated-bot.ts';
import { type PreparedAction, prepareAction, Tenant } from '../support/tenant.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { WireClient } from '../support/wire-client.ts';

/** Hundreds of bots on three replicas, with dozens of requirements. */

const BOTS = 300;
/** Each bot has one pool; a third of them has tools as well, and so fits two requirements. */
const POOLS = 24;
const JOBS_PER_REQUIREMENT = 4;
/** How long the farm waits for a bot that fits, in seconds. */
const UNSERVED_SECONDS = 8;
/** Milliseconds beyond it until the client hears: a look at the job each second, and a busy machine. */
const VERDICT_MARGIN_MS = 20_000;
/** Milliseconds within which all jobs are done, though everybody comes at once. */
const ALL_DONE_MS = 120_000;
const SEED = 1;

const random = seededRandom(SEED);
let redis: RedisServer;
let rabbitmq: RabbitmqServer;
let folder: string;
let storage: RunningServer;
let replicas: RunningServer[];
let clients: WireClient[];
let bots: AnsweringBot[] = [];

beforeAll(async () => {
  [redis, rabbitmq] = await Promise.all([RedisServer.start(), RabbitmqServer.start()]);
  folder = await temporaryFolder('many-bots');
  storage = await startServe(folder, 'storage', {
    roles: ['cas', 'action-cache'],
    blobs: { kind: 'memory' },
    actionCache: { kind: 'memory' },
  });
  const remote = { kind: 'remote', endpoint: `grpc://${storage.address}` };
  replicas = await Promise.all(
    ['one', 'two', 'three'].map((name) =>
      startServe(folder, name, {
        blobs: remote,
        actionCache: remote,
        redis: { addresses: [`127.0.0.1:${redis.port}`] },
        rabbitmq: { addresses: [`127.0.0.1:${rabbitmq.port}`] },
        scheduling: { unservedSeconds: UNSERVED_SECONDS },
      }),
    ),
  );
  clients = replicas.map(({ address }) => new WireClient([address]));
}, 180_000);

afterAll(async () => {
  await Promise.all(bots.map((each) => each.vanish()));
  for (const client of clients ?? []) client.close();
  for (const replica of [...(replicas ?? []), storage]) await replica?.kill();
  await rabbitmq?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
  if (folder !== undefined) await removeFolder(folder);
}, 60_000);

type Properties = ReadonlyArray<readonly [key: string, value: string]>;

function propertiesOfBot(index: number): Properties {
  const pool = ['pool', `pool-${index % POOLS}`] as const;
  return index % 3 === 0 ? [pool, ['tools', 'yes']] : [pool];
}

const REQUIREMENTS: readonly Properties[] = Array.from(
  { length: POOLS },
  (_, i) => ['pool', `pool-${i}`] as const,
).flatMap((pool, i): Properties[] => (i % 3 === 0 ? [[pool], [pool, ['tools', 'yes']]] : [[pool]]));

function actionFor(requirement: Properties): PreparedAction {
  return prepareAction({
    action: { platform: { properties: requirement.map(([name, value]) => ({ name, value })) } },
  });
}

function textOf(properties: Properties): string {
  return properties.map((each) => each.join('=')).join(';');
}

test('every job goes only where it fits, none starves, and what nobody offers gets its verdict in time', {
  timeout: ALL_DONE_MS + 60_000,
}, async () => {
  const jobs = REQUIREMENTS.flatMap((requirement) =>
    Array.from({ length: JOBS_PER_REQUIREMENT }, () => ({ requirement, prepared: actionFor(requirement) })),
  );
  const wanted = new Map(jobs.map(({ requirement, prepared }) => [prepared.action.digest.hash, requirement]));
  const misplaced: string[] = [];
  let leases = 0;
  bots = Array.from({ length: BOTS }, (_, i) => {
    const properties = propertiesOfBot(i);
    return new AnsweringBot({
      replicas: clients,
      properties,
      capacity: 1,
      random,
      work: () => 10,
      pollMilliseconds: 30_000,
      onLease(lease) {
        leases += 1;
        const requirement = wanted.get(leasedAction(lease).hash) ?? [['unknown', 'action'] as const];
        const fits = requirement.every(([name, value]) => properties.some(([n, v]) => n === name && v === value));
        if (!fits) misplaced.push(`${textOf(requirement)} went to a bot with ${textOf(properties)}`);
      },
    });
  });

  const unserved = actionFor([
    ['pool', 'pool-1'],
    ['tools', 'no'],
  ]);
  const tenant = new Tenant(clients[0] as WireClient, '');
  await tenant.upload(...unserved.blobs);
  const begun = performance.now();
  const verdict = tenant
    .execute(unserved.action.digest, {}, { deadline: ALL_DONE_MS })
    .finish()
    .then((response) => ({ response, milliseconds: performance.now() - begun }));

  const answers = await Promise.all(
    jobs.map(async ({ prepared }, i) => ({ prepared, result: await run(prepared, i) })),
  );
  const { response, milliseconds } = await verdict;

  expect(misplaced).toEqual([]);
  for (const { prepared, result } of answers) expect(answerOf(result)).toEqual(answerTo(prepared.action.digest));
  // Nobody was asked twice for want of an answer.
  expect(leases).toBe(jobs.length);
  expect(response.status?.message).toContain('no bot offers the platform property tools=no');
  expect(milliseconds).toBeGreaterThanOrEqual(UNSERVED_SECONDS * 1_000);
  expect(milliseconds).toBeLessThan(UNSERVED_SECONDS * 1_000 + VERDICT_MARGIN_MS);
  process.stdout.write(
    `${JSON.stringify({ bots: BOTS, requirements: REQUIREMENTS.length, jobs: jobs.length, leases, verdictMilliseconds: Math.round(milliseconds), allMilliseconds: Math.round(performance.now() - begun) })}\n`,
  );
});

async function run(prepared: PreparedAction, turn: number) {
  const tenant = new Tenant(clients[turn % clients.length] as WireClient, '');
  await tenant.upload(...prepared.blobs);
  const digest: Digest = prepared.action.digest;
  return (await tenant.execute(digest, {}, { deadline: ALL_DONE_MS }).finish()).result;
}
