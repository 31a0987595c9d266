import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { ByteStreamService, WriteRequest } from '../../src/proto/google/bytestream/bytestream.ts';
import { freePort } from '../support/free-port.ts';
import { processTree, survivors } from '../support/process-table.ts';
import { runProgram } from '../support/program.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { freshBlob, Tenant } from '../support/tenant.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { failure, WireClient } from '../support/wire-client.ts';

/** `warren serve --processes`, over the storage of a server of one process. */

let folder: string;
let storage: RunningServer;

beforeAll(async () => {
  folder = await temporaryFolder('processes');
  const memory = { kind: 'memory', maximumSizeBytes: 16 * 1024 * 1024 };
  storage = await startServe(folder, 'storage', { roles: ['cas', 'action-cache'], blobs: memory, actionCache: memory });
});

afterAll(async () => {
  await storage?.stop();
  if (folder !== undefined) await removeFolder(folder);
});

/** What two processes can serve without Redis and RabbitMQ. */
function cacheConfiguration() {
  const remote = { kind: 'remote', endpoint: `grpc://${storage.address}` };
  const console = { listen: '127.0.0.1:0' };
  const server = { listen: '127.0.0.1:0', drainSeconds: 60 };
  return { roles: ['cas', 'action-cache'], processes: 2, server, console, blobs: remote, actionCache: remote };
}

/** The processes that serve, without the one that started them. */
async function serving(server: RunningServer): Promise<number[]> {
  return (await processTree(server.pid)).map(({ pid }) => pid).filter((pid) => pid !== server.pid);
}

async function metricsOf(server: RunningServer): Promise<string[]> {
  const response = await fetch(`http://127.0.0.1:${server.consolePort}/metrics`, { headers: { Connection: 'close' } });
  return (await response.text()).split('\n');
}

async function callsRunning(server: RunningServer): Promise<number> {
  const name = 'warren_calls_running ';
  return Number((await metricsOf(server)).find((line) => line.startsWith(name))?.slice(name.length));
}

describe('two processes on one port', () => {
  let server: RunningServer;
  let clients: WireClient[];

  beforeEach(async () => {
    clients = [];
    server = await startServe(folder, 'cache', cacheConfiguration());
  });

  afterEach(async () => {
    for (const client of clients) client.close();
    await server.stop();
  });

  /** A tenant with a connection of its own. */
  function connect(): Tenant {
    const client = new WireClient([server.address], { 'grpc.use_local_subchannel_pool': 1 });
    clients.push(client);
    return new Tenant(client, '');
  }

  test('serve the same blobs over any connection', async () => {
    expect(await serving(server)).toHaveLength(2);
    const blob = freshBlob();
    await connect().upload(blob);
    for (let connection = 0; connection < 8; connection++) expect(await connect().has(blob.digest)).toBe(true);
  });

  test('tell the metrics of all, whichever of them is asked', async () => {
    for (let connection = 0; connection < 10; connection++) await connect().upload(freshBlob());
    const line =
      'warren_calls_total{method="build.bazel.remote.execution.v2.ContentAddressableStorage/BatchUpdateBlobs"';
    for (let asked = 0; asked < 6; asked++) {
      expect((await metricsOf(server)).filter((each) => each.startsWith(line))).toEqual([`${line},code="OK"} 10`]);
    }
  });

  test('one that is killed is started again on the same port, and the other serves meanwhile', async () => {
    const [killed = 0, other = 0] = await serving(server);
    process.kill(killed, 'SIGKILL');
    await expect.poll(() => server.stderr(), { timeout: 10_000 }).toContain('it is started again');
    const blob = freshBlob();
    await connect().upload(blob);
    await expect.poll(() => serving(server), { timeout: 20_000 }).toHaveLength(2);
    expect(await serving(server)).toContain(other);
    for (let connection = 0; connection < 8; connection++) expect(await connect().has(blob.digest)).toBe(true);
  });

  test('a connection that one was handed and had not taken when it was killed ends with it', async () => {
    const [frozen = 0, other = 0] = await serving(server);
    process.kill(frozen, 'SIGSTOP');
    const look = async () => (await fetch(`http://127.0.0.1:${server.consolePort}/healthz`)).text();
    // Each is handed one, and the frozen one never says that it has it.
    const looks = [look(), look()].map((each) => each.catch(() => 'ended'));
    expect(await Promise.race(looks)).toBe('alive\n');
    process.kill(frozen, 'SIGKILL');
    expect((await Promise.all(looks)).sort()).toEqual(['alive\n', 'ended']);
    await expect.poll(() => serving(server), { timeout: 20_000 }).toHaveLength(2);
    expect(await serving(server)).toContain(other);
  });

  test('end with the first signal, and leave nothing behind', async () => {
    const tree = await processTree(server.pid);
    expect(await server.stop()).toBe(0);
    expect(await survivors(tree)).toEqual([]);
  });

  test('end at once with the second signal, whatever runs', async () => {
    const tree = await processTree(server.pid);
    const tenant = connect();
    const blob = freshBlob();
    const upload = tenant.client.clientStream(ByteStreamService.write, { deadline: 60_000 });
    await upload.write(
      WriteRequest.create({ resourceName: tenant.writeName(blob.digest), data: blob.data.subarray(1) }),
    );
    await expect.poll(() => callsRunning(server), { timeout: 10_000 }).toBe(1);
    const ended = server.stop();
    await expect.poll(() => server.stderr(), { timeout: 20_000 }).toContain('"msg":"draining"');
    server.signal('SIGTERM');
    expect(await ended).toBe(143);
    expect((await failure(upload.result)).code).toBe('UNAVAILABLE');
    await expect.poll(() => survivors(tree), { timeout: 10_000 }).toEqual([]);
  });

  test('end with the first signal, though one of them is just being started again', async () => {
    const [killed = 0] = await serving(server);
    process.kill(killed, 'SIGKILL');
    await expect.poll(() => server.stderr(), { timeout: 10_000 }).toContain('it is started again');
    await expect.poll(() => serving(server), { timeout: 20_000, interval: 5 }).toHaveLength(2);
    const tree = await processTree(server.pid);
    expect(await server.stop()).toBe(0);
    expect(await survivors(tree)).toEqual([]);
  });

  test('end when the process that started them is killed', async () => {
    const tree = await processTree(server.pid);
    await server.kill();
    await expect.poll(() => survivors(tree), { timeout: 10_000 }).toEqual([]);
  });
});

test('an address in use is said once by one process, with its own exit code', async () => {
  const file = join(folder, 'taken.json');
  await writeFile(file, JSON.stringify({ ...cacheConfiguration(), server: { listen: storage.address } }));
  const { code, stderr } = await runProgram(['serve', '--config', file]);
  expect(code).toBe(3);
  expect(stderr.match(/cannot listen on/g)).toHaveLength(1);
});

test('several processes over a disk are refused, with what to do', async () => {
  const file = join(folder, 'disk.json');
  const disk = (name: string) => ({ kind: 'disk', directory: join(folder, name) });
  const listen = `127.0.0.1:${await freePort()}`;
  await writeFile(file, JSON.stringify({ server: { listen }, blobs: disk('a'), actionCache: disk('b') }));
  const { code, stderr } = await runProgram(['serve', '--config', file, '--processes', '2']);
  expect(code).toBe(2);
  expect(stderr).toContain('processes: 2 processes would each have jobs');
  expect(stderr).toContain("blobs.kind: 'disk' belongs to one process");
});
