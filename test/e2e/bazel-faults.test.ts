import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Bazel, type BazelResult } from '../support/bazel/bazel.ts';
import { writeWorkspace } from '../support/bazel/workspace.ts';
import { FarmReplica, type FarmServices } from '../support/faults/farm-replica.ts';
import { folderContents } from '../support/folder-contents.ts';
import { type Program, startProgram } from '../support/program.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { RedisServer } from '../support/redis-server.ts';
import { TcpBalancer } from '../support/tcp-balancer.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** A Bazel build on a farm of two replicas behind a load balancer, while the farm is taken apart and put together. */

let folder: string;
let workspace: string;
let bazel: Bazel;
let redis: RedisServer;
let rabbitmq: RabbitmqServer;
let storage: FarmReplica;
let replicas: readonly FarmReplica[];
let balancer: TcpBalancer;
let worker: Program;
let endpoint: string;

beforeAll(async () => {
  folder = await temporaryFolder('bazel-faults');
  workspace = await temporaryFolder('workspace');
  await writeWorkspace(workspace, { libraries: 12, tests: 2 });
  bazel = await Bazel.create(workspace);
  [redis, rabbitmq] = await Promise.all([RedisServer.start({ appendOnly: true }), RabbitmqServer.start()]);
  const onDisk = {
    roles: ['cas', 'action-cache'],
    blobs: { kind: 'disk', directory: join(folder, 'blobs'), maximumSizeBytes: 2_000_000_000 },
    actionCache: { kind: 'disk', directory: join(folder, 'action-cache') },
  };
  storage = await FarmReplica.create({ name: 'storage', folder, configure: () => onDisk });
  const services = { redis: redis.port, rabbitmq: rabbitmq.port, storage: storage.frontPort };
  const configure = (links: FarmServices) => ({
    blobs: { kind: 'remote', endpoint: `grpc://127.0.0.1:${links.storage}` },
    actionCache: { kind: 'remote', endpoint: `grpc://127.0.0.1:${links.storage}` },
    redis: { addresses: [`127.0.0.1:${links.redis}`] },
    rabbitmq: { addresses: [`127.0.0.1:${links.rabbitmq}`] },
    scheduling: { leaseSeconds: 10, unservedSeconds: 30 },
  });
  replicas = await Promise.all(['one', 'two'].map((name) => FarmReplica.create({ name, folder, services, configure })));
  await storage.start();
  await Promise.all(replicas.map((each) => each.start()));
  balancer = new TcpBalancer(replicas.map(({ frontPort }) => frontPort));
  endpoint = `grpc://127.0.0.1:${await balancer.listen()}`;
  worker = startProgram(['worker', `--remote=${endpoint}`, '--slots=2', `--directory=${join(folder, 'worker')}`]);
}, 300_000);

afterAll(async () => {
  await bazel?.[Symbol.asyncDispose]();
  worker?.kill('SIGKILL');
  await worker?.ended;
  await balancer?.close();
  for (const replica of [...(replicas ?? []), storage]) await replica?.close();
  await rabbitmq?.[Symbol.asyncDispose]();
  await redis?.[Symbol.asyncDispose]();
  await removeFolder(folder);
  await removeFolder(workspace);
}, 120_000);

/** Builds everything, and nothing from the cache; with what docs/using/bazel.md says of farms that come and go. */
const build = () => [
  'build',
  `--remote_executor=${endpoint}`,
  '--noremote_accept_cached',
  '--remote_retries=10',
  '--experimental_remote_execution_keepalive',
  '--jobs=8',
  '--noshow_progress',
  '--color=no',
  '--verbose_failures',
  '//...',
];

const outputs = () => folderContents(join(workspace, 'bazel-bin'));

/** Runs the build to its end, and expects it to succeed. */
async function succeeded(ended: Promise<BazelResult>): Promise<BazelResult> {
  const result = await ended;
  if (result.exitCode === 0) return result;
  const logs = replicas.map(({ name, log }) => `== ${name}\n${log.slice(-10_000)}`);
  throw new Error([`bazel exited with ${result.exitCode}:`, result.output, ...logs].join('\n'));
}

/** Replaces the broker and every replica, one after another. @returns what was done. */
async function disturb(): Promise<string[]> {
  const done: string[] = [];
  for (const replica of replicas) {
    await replica.kill();
    await replica.start();
    done.push(`replica ${replica.name} killed and replaced`);
  }
  await rabbitmq.control('stop');
  await rabbitmq.process.stop();
  await rabbitmq.process.start();
  done.push('RabbitMQ restarted');
  return done;
}

it('a build runs to its end while every replica is killed and replaced and RabbitMQ restarts', async () => {
  const undisturbed = await succeeded(bazel.run(...build()));
  const expected = await outputs();
  await bazel.run('clean');

  const run = bazel.start(...build());
  let ended = false;
  void run.ended.then(() => {
    ended = true;
  });
  await expect.poll(() => run.output(), { timeout: 120_000 }).toContain('INFO: Analyzed');
  const done = await disturb();
  // Else the build saw only a part of it.
  expect(ended).toBe(false);
  const disturbed = await succeeded(run.ended);
  expect(disturbed.processes['remote']).toBe(undisturbed.processes['remote']);
  expect(await outputs()).toEqual(expected);
  process.stdout.write(
    `${JSON.stringify({ done, undisturbed: undisturbed.elapsedSeconds, disturbed: disturbed.elapsedSeconds, remote: disturbed.processes['remote'] })}\n`,
  );
});
