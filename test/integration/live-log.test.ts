import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type CommandLineOutcome, startCommandLine } from '../support/command-line.ts';
import { type Program, startProgram } from '../support/program.ts';
import { RabbitmqServer } from '../support/rabbitmq-server.ts';
import { RedisServer } from '../support/redis-server.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** What an action prints, from our worker to the terminals of those who wait for it. */

let folder: string;
let fifo: string;
let worker: Program | undefined;

beforeEach(async () => {
  folder = await temporaryFolder('live-log');
  fifo = join(folder, 'fifo');
  await promisify(execFile)('mkfifo', [fifo]);
});

afterEach(async () => {
  worker?.kill('SIGTERM');
  await worker?.ended;
  worker = undefined;
  await removeFolder(folder);
});

/** A worker without a sandbox, so that its actions see the test's FIFO. */
function startWorker(address: string): void {
  const args = ['--slots', '2', '--sandbox', 'none', '--directory', join(folder, 'worker')];
  worker = startProgram(['worker', '--remote', `grpc://${address}`, ...args]);
}

function exec(address: string, script: string) {
  return startCommandLine(address, 'exec', '--output-dir', folder, '--', 'sh', '-c', script);
}

/** Lets an action go on that reads from the FIFO. */
const release = () => writeFile(fifo, 'go\n');

/** An action that waits for the test between its lines, run by two clients at once, while a third looks on. */
async function followTogether(addresses: readonly [string, string]): Promise<CommandLineOutcome[]> {
  const script = `echo begun; read word <${fifo}; echo "done: $word"; echo failed >&2; exit 3`;
  const runs = addresses.map((each) => exec(each, script));
  for (const run of runs) await expect.poll(() => run.stdout(), { timeout: 30_000 }).toBe('begun\n');
  const listed = await startCommandLine(addresses[0], 'operation', 'list', '--json').outcome;
  const [operation] = listed.json() as Array<{ name: string }>;
  const log = startCommandLine(addresses[1], 'operation', 'log', operation?.name ?? '');
  await expect.poll(() => log.stdout(), { timeout: 30_000 }).toBe('begun\n');
  await release();
  return Promise.all([...runs, log].map((each) => each.outcome));
}

const PRINTED = { stdout: 'begun\ndone: go\n', stderr: 'failed\n' };
const FOLLOWED = [3, 3, 0].map((exitCode) => ({ exitCode, ...PRINTED }));

describe('one replica', () => {
  let server: RunningServer | undefined;
  const memory = { blobs: { kind: 'memory' }, actionCache: { kind: 'memory' } };

  async function start(configuration: object = {}): Promise<string> {
    server = await startServe(folder, 'server', { ...memory, ...configuration });
    startWorker(server.address);
    return server.address;
  }

  afterEach(async () => {
    await server?.stop();
  });

  test('what an action prints is printed while it runs, for all who wait for it, and once', async () => {
    const address = await start();
    expect(await followTogether([address, address])).toMatchObject(FOLLOWED);
  });

  test('a long log comes whole, in order and once', async () => {
    const address = await start();
    const long = "head -c 3000000 /dev/zero | tr '\\0' x";
    const run = exec(address, `${long}; read word <${fifo}; ${long}; echo end`);
    await expect.poll(() => run.stdout().length, { timeout: 30_000 }).toBe(3_000_000);
    await release();
    expect((await run.outcome).stdout).toBe(`${'x'.repeat(6_000_000)}end\n`);
  });

  test('a log that is longer than its stream may be comes whole with the result', async () => {
    const address = await start({ logStreams: { maximumStreamBytes: 65_536, maximumTotalBytes: 1_048_576 } });
    const run = exec(address, `echo begun; read word <${fifo}; head -c 100000 /dev/zero | tr '\\0' x`);
    await expect.poll(() => run.stdout(), { timeout: 30_000 }).toBe('begun\n');
    await release();
    expect(await run.outcome).toMatchObject({ exitCode: 0, stdout: `begun\n${'x'.repeat(100_000)}` });
  });

  test('where no streams are served everything comes with the result', async () => {
    const address = await start({ roles: ['execution', 'operations', 'bots', 'cas', 'action-cache'] });
    const run = exec(address, 'echo begun; sleep 0.6; echo done');
    expect(await run.outcome).toMatchObject({ exitCode: 0, stdout: 'begun\ndone\n', stderr: '' });
  });
});

describe('two replicas on Redis and RabbitMQ', () => {
  let redis: RedisServer;
  let rabbitmq: RabbitmqServer;

  beforeAll(async () => {
    redis = await RedisServer.start();
    rabbitmq = await RabbitmqServer.start();
  });

  afterAll(async () => {
    await rabbitmq?.[Symbol.asyncDispose]();
    await redis?.[Symbol.asyncDispose]();
  });

  test('what is written at one is read at both', { timeout: 120_000 }, async () => {
    const storage = await startServe(folder, 'storage', {
      roles: ['cas', 'action-cache'],
      blobs: { kind: 'memory' },
      actionCache: { kind: 'memory' },
    });
    const remote = { kind: 'remote', endpoint: `grpc://${storage.address}` };
    const configuration = {
      blobs: remote,
      actionCache: remote,
      redis: { addresses: [`127.0.0.1:${redis.port}`] },
      rabbitmq: { addresses: [`127.0.0.1:${rabbitmq.port}`] },
    };
    const one = await startServe(folder, 'one', configuration);
    const two = await startServe(folder, 'two', configuration);
    try {
      startWorker(one.address);
      expect(await followTogether([one.address, two.address])).toMatchObject(FOLLOWED);
    } finally {
      for (const each of [one, two, storage]) await each.stop();
    }
  });
});
