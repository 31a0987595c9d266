import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseYaml } from '../../src/config/load-configuration.ts';
import {
  CapabilitiesService,
  GetCapabilitiesRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { commandLine } from '../support/command-line.ts';
import { ComposeGrid } from '../support/compose-grid/compose-grid.ts';
import { runConformance } from '../support/conformance-run.ts';
import { freshBlob, Tenant } from '../support/tenant.ts';
import { WireClient } from '../support/wire-client.ts';

const ROOT = join(import.meta.dirname, '../..');

interface DeclaredService {
  readonly build?: unknown;
  readonly image: string;
  readonly networks?: Readonly<Record<string, unknown>> | readonly string[];
}

/** What docker-compose makes of these files together. */
async function dockerCompose(...files: readonly string[]): Promise<ReadonlyArray<DeclaredService & { name: string }>> {
  const flags = files.flatMap((file) => ['-f', join(ROOT, file)]);
  const { stdout } = await promisify(execFile)('docker-compose', [...flags, 'config']);
  const { services } = parseYaml('docker-compose', stdout, { environment: {} }) as {
    readonly services: Readonly<Record<string, DeclaredService>>;
  };
  return Object.entries(services).map(([name, service]) => ({ ...service, name }));
}

function networksOf({ networks = ['default'] }: DeclaredService): readonly string[] {
  return Array.isArray(networks) ? networks : Object.keys(networks);
}

describe('docker-compose', () => {
  let services: Awaited<ReturnType<typeof dockerCompose>>;

  beforeAll(async () => {
    services = await dockerCompose('docker-compose.yml');
  });

  test('takes docker-compose.sandbox.yml on top of docker-compose.yml', async () => {
    const together = await dockerCompose('docker-compose.yml', 'docker-compose.sandbox.yml');
    expect(together.map(({ name }) => name)).toEqual(services.map(({ name }) => name));
  });

  test('lets workers, and so actions, reach the load balancer alone', () => {
    const workers = services.filter(({ name }) => name.startsWith('worker-'));
    const theirs = new Set(workers.flatMap(networksOf));
    const neighbours = services.filter((service) => networksOf(service).some((network) => theirs.has(network)));
    expect(neighbours.map(({ name }) => name).sort()).toEqual(['load-balancer', 'worker-1', 'worker-2']);
  });

  test('has each image built by one service', () => {
    const built = services.filter(({ build }) => build !== undefined).map(({ image }) => image);
    expect(built.sort()).toEqual(['warren-worker:0.1.0', 'warren:0.1.0']);
  });
});

describe('the farm of docker-compose.yml', () => {
  let grid: ComposeGrid;
  let address: string;

  beforeAll(async () => {
    grid = await ComposeGrid.start();
    address = await grid.endpoint();
  }, 240_000);

  afterAll(() => grid?.[Symbol.asyncDispose](), 60_000);

  test('keeps the rules of the protocols through the load balancer', { timeout: 300_000 }, async () => {
    const cases = [
      'action-cache',
      'asset',
      'bots',
      'byte-stream-write',
      'capabilities',
      'content-addressable-storage',
      'execution',
      'execution-scheduling',
      'log-stream',
      'operations',
    ];
    expect(await runConformance([address], cases)).toBe('');
  });

  test('runs a command on one of its workers', { timeout: 60_000 }, async () => {
    const run = await commandLine(address, 'exec', '--', 'sh', '-c', 'echo from a worker');
    expect(run).toMatchObject({ exitCode: 0, stdout: 'from a worker\n' });
  });

  test('calls that come after the death of a replica of each role are answered by the others', async () => {
    const client = new WireClient([address]);
    try {
      const tenant = new Tenant(client, '');
      const blob = freshBlob();
      await tenant.upload(blob);
      for (const name of ['cache-1', 'execution-1', 'bots-1']) await grid.service(name).kill();
      for (let call = 0; call < 20; call++) {
        expect(await tenant.has(blob.digest)).toBe(true);
        await client.unary(CapabilitiesService.getCapabilities, GetCapabilitiesRequest.create());
      }
      expect((await commandLine(address, 'exec', '--', 'true')).exitCode).toBe(0);
    } finally {
      client.close();
    }
  });
});
