import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stringify } from 'yaml';
import { SelfSignedCertificate } from '../support/certificates.ts';
import { commandLine, startCommandLine } from '../support/command-line.ts';
import { type Grid, startGrid } from '../support/grid.ts';
import { runProgram } from '../support/program.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';

/** `warren up` with its own worker, and two processes of `warren serve` over its storage, with certificates on all sides. */

type Identity = Awaited<ReturnType<SelfSignedCertificate['issue']>>;

let folder: string;
let authority: SelfSignedCertificate;
let server: Identity;
let client: Identity;
let viewer: Identity;
let grid: Grid;
let cache: RunningServer;

beforeAll(async () => {
  folder = await temporaryFolder('served-tls');
  authority = await SelfSignedCertificate.create();
  server = await authority.issue('server', 'DNS:localhost,IP:127.0.0.1');
  client = await authority.issue('client');
  viewer = await authority.issue('viewer', 'DNS:viewer.example');
  const tls = { ...server, clientAuthoritiesFile: authority.certificateFile };
  const file = join(folder, 'up.yaml');
  const access = [
    { names: ['client'], rights: ['read', 'write', 'execute'] },
    { names: ['*.example'], rights: ['read'] },
    { names: ['worker'], rights: ['read', 'write', 'work'] },
  ];
  await writeFile(file, stringify({ server: { tls, access } }));
  grid = await startGrid({ workers: 1, startTimeout: 90_000, args: ['--no-console', '--config', file] });
  const storage = {
    kind: 'remote',
    endpoint: `grpcs://${grid.address}`,
    tls: { authoritiesFile: authority.certificateFile, ...client },
  };
  cache = await startServe(folder, 'cache', {
    roles: ['cas', 'action-cache'],
    processes: 2,
    server: { listen: '127.0.0.1:0', drainSeconds: 5, tls },
    blobs: storage,
    actionCache: storage,
  });
}, 180_000);

afterAll(async () => {
  await cache?.stop();
  await grid?.stop();
  await authority?.[Symbol.asyncDispose]();
  if (folder !== undefined) await removeFolder(folder);
});

/** Flags of whoever trusts the server at this address, or has not been told to. */
const reach = (address: string, trusts = true) => [
  '--remote',
  `grpcs://${address}`,
  ...(trusts ? ['--tls-authorities', authority.certificateFile] : []),
];
/** Flags of whoever shows this certificate. */
const show = ({ certificateFile, privateKeyFile }: Identity) => [
  '--tls-certificate',
  certificateFile,
  '--tls-private-key',
  privateKeyFile,
];

const warren = (...args: readonly string[]) => commandLine('unused', ...args);

describe('a grid that asks for certificates', () => {
  test('runs actions of clients that show one, on its own worker', async () => {
    expect(grid.output()).toContain('Warren is up at grpcs://');
    const { stdout, exitCode } = await warren('exec', ...reach(grid.address), ...show(client), '--', 'echo', 'hello');
    expect({ stdout, exitCode }).toEqual({ stdout: 'hello\n', exitCode: 0 });
  });

  test('refuses those that show none, who are told what is missing', async () => {
    const { stderr, exitCode } = await warren('health', ...reach(grid.address));
    expect({ stderr, exitCode }).toEqual({ stderr: expect.stringContaining('--tls-certificate'), exitCode: 4 });
  });

  test('is refused by those that do not trust it, who are told what is missing', async () => {
    const { stderr, exitCode } = await warren('health', ...reach(grid.address, false), ...show(client));
    expect({ stderr, exitCode }).toEqual({ stderr: expect.stringContaining('--tls-authorities'), exitCode: 4 });
  });
});

describe('a grid with rules about who may call what', () => {
  test('lets those who may only read do so, and says which right they lack for more', async () => {
    const flags = [...reach(grid.address), ...show(viewer)];
    expect(await warren('bots', 'list', ...flags)).toMatchObject({ exitCode: 0 });
    expect(await warren('exec', ...flags, '--', 'echo', 'goodbye')).toMatchObject({
      exitCode: 125,
      stderr: expect.stringMatching(/PERMISSION_DENIED: .* needs the right 'write'.*'viewer', 'viewer.example'/),
    });
  });

  test('keeps clients from operating it', async () => {
    const drained = await warren('bots', 'drain', 'nobody', ...reach(grid.address), ...show(client));
    expect(drained).toMatchObject({
      exitCode: 1,
      stderr: expect.stringContaining("PERMISSION_DENIED: warren.v1.Administration/AddDrain needs the right 'operate'"),
    });
  });
});

test('a worker on another machine comes with a certificate of its own', async () => {
  const worker = await authority.issue('worker');
  const flags = ['--bot-id', 'far-away', '--slots', '1', '--sandbox', 'none', '--directory', join(folder, 'worker')];
  const run = startCommandLine('unused', 'worker', ...reach(grid.address), ...show(worker), ...flags);
  const bots = async () => (await warren('bots', 'list', ...reach(grid.address), ...show(client))).stdout;
  await expect.poll(bots, { timeout: 30_000 }).toContain('far-away');
  run.interrupt();
  expect(await run.outcome).toMatchObject({ exitCode: 0 });
});

test('two processes on one port speak TLS, and to the storage of another server', async () => {
  const flags = [...reach(cache.address), ...show(client)];
  const file = join(folder, 'blob');
  await writeFile(file, 'a blob over TLS');
  const uploaded = await warren('cas', 'upload', ...flags, file);
  expect(uploaded).toMatchObject({ exitCode: 0 });
  const [digest = ''] = uploaded.stdout.split(' ');
  for (let connection = 0; connection < 4; connection++) {
    expect(await warren('cas', 'download', ...flags, digest, '-')).toMatchObject({ stdout: 'a blob over TLS' });
  }
});

test('a configuration whose key is that of another certificate is named by check and start alike', async () => {
  const file = join(folder, 'mixed-up.yaml');
  const memory = { kind: 'memory' };
  const tls = { ...server, privateKeyFile: client.privateKeyFile };
  await writeFile(file, stringify({ server: { listen: '127.0.0.1:0', tls }, blobs: memory, actionCache: memory }));
  const expected = `server.tls.privateKeyFile: '${client.privateKeyFile}' is not the key of`;
  const checked = await warren('config', 'check', file);
  expect(checked).toMatchObject({ exitCode: 2, stderr: expect.stringContaining(expected) });
  const { code, stderr } = await runProgram(['serve', '--config', file]);
  expect({ code, stderr }).toEqual({ code: 2, stderr: expect.stringContaining(expected) });
});
