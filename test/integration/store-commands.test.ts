import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { commandLine } from '../support/command-line.ts';
import { freePort } from '../support/free-port.ts';
import { type RunningServer, startServe } from '../support/serve.ts';
import { type Blob, randomBlob, Tenant } from '../support/tenant.ts';
import { removeFolder, temporaryFolder } from '../support/throwaway-process.ts';
import { WireClient } from '../support/wire-client.ts';

/** `warren clean` and `warren index`, of a server that runs and of one that does not. */
let folder: string;
let server: RunningServer | undefined;
let address: string;
let blobs: Blob[];

beforeEach(async () => {
  folder = await temporaryFolder('store-commands');
  address = `127.0.0.1:${await freePort()}`;
  server = await startServe(folder, 'warren', {
    server: { listen: address, drainSeconds: 5 },
    blobs: disk('blobs'),
    actionCache: disk('results'),
  });
  blobs = Array.from({ length: 10 }, () => randomBlob(200_000));
  const client = new WireClient([address]);
  for (const blob of blobs) await new Tenant(client, '').upload(blob);
  client.close();
});
afterEach(async () => {
  await server?.stop();
  await removeFolder(folder);
});

function disk(name: string) {
  return { kind: 'disk', directory: join(folder, name), maximumSizeBytes: 8 << 20, minimumAgeSeconds: 0 };
}

async function stop(): Promise<void> {
  await server?.stop();
  server = undefined;
}

const warren = (...args: readonly string[]) => commandLine(address, ...args);
const config = () => ['--config', join(folder, 'warren.yaml')];

function removeOneFile(): string {
  const files = join(folder, 'blobs', 'files');
  const [path = ''] = readdirSync(files).flatMap((each) =>
    readdirSync(join(files, each)).map((name) => join(files, each, name)),
  );
  rmSync(path);
  return blobs.find(({ digest }) => path.includes(digest.hash))?.digest.hash ?? '';
}

describe.each([
  ['by the server', () => []],
  ['by the configuration of a server that runs', config],
  ['by the configuration of a server that does not', config],
])('%s', (what, where) => {
  beforeEach(async () => {
    if (what.endsWith('does not')) await stop();
  });

  test('clean tells what would go, and lets it go', async () => {
    const target = ['--to', '1M', '--store', 'blobs', ...where(), '--json'];
    const dry = await warren('clean', '--dry-run', ...target);
    expect(dry.exitCode).toBe(0);
    const [told] = dry.json() as Array<Record<string, unknown>>;
    expect(told).toMatchObject({ store: 'blobs', dryRun: true, entries: 5 });
    expect(new Date(String(told?.['newestUse'])).getTime()).toBeGreaterThanOrEqual(
      new Date(String(told?.['oldestUse'])).getTime(),
    );
    const done = await warren('clean', ...target);
    expect(done.json()).toEqual([{ ...told, dryRun: false }]);
    const again = await warren('clean', '--to', '1M', ...where());
    expect(again.stdout).toMatch(/^blobs +0 +0 B +0$/m);
    expect(again.stdout).toMatch(/^actionCache +0 +0 B +0$/m);
  });

  test('index check finds a file that is gone, and index rebuild mends the index', async () => {
    const whole = await warren('index', 'check', ...where());
    expect([whole.exitCode, whole.stdout]).toEqual([0, '']);
    const hash = removeOneFile();
    const checked = await warren('index', 'check', ...where());
    expect(checked).toMatchObject({ exitCode: 1, stdout: `blobs  lost  ${hash}/200000\n` });
    const rebuilt = await warren('index', 'rebuild', '--json', ...where());
    expect(rebuilt.json()).toMatchObject([
      { store: 'blobs', entries: 9, added: 0, removed: 1, listed: true },
      { store: 'actionCache', entries: 0 },
    ]);
    expect((await warren('index', 'check', '--json', ...where())).json()).toEqual([]);
  });
});

test('what is wrong on the command line is said, and nothing is tried', async () => {
  await stop();
  const wrong = async (...args: readonly string[]) => {
    const { exitCode, stderr } = await warren(...args);
    return [exitCode, stderr.trim()];
  };
  expect(await wrong('index', 'check', ...config(), '--data-dir', folder)).toEqual([
    2,
    'warren: --config and --data-dir exclude each other',
  ]);
  expect(await wrong('clean', '--data-dir', folder)).toEqual([2, expect.stringContaining('--data-dir needs --to')]);
  expect(await wrong('index', 'check', '--data-dir', join(folder, 'nowhere'))).toEqual([
    2,
    expect.stringContaining('there is no folder'),
  ]);
  expect(await wrong('index', 'check', ...config(), '--store', 'fast')).toEqual([
    1,
    "warren: no store with an index is called 'fast'; there is blobs, actionCache",
  ]);
  expect(await wrong('clean')).toEqual([4, expect.stringContaining('cannot reach the server')]);
});
