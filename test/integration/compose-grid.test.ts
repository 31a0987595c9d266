import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  CapabilitiesService,
  GetCapabilitiesRequest,
} from '../../src/proto/build/bazel/remote/execution/v2/remote_execution.ts';
import { commandLine } from '../support/command-line.ts';
import { ComposeGrid } from '../support/compose-grid/compose-grid.ts';
import { runConformance } from '../support/conformance-run.ts';
import { freshBlob, Tenant } from '../support/tenant.ts';
import { WireClient } from '../support/wire-client.ts';

const COMPOSE_FILE = join(import.meta.dirname, '../../docker-compose.yml');

test('docker-compose takes docker-compose.yml', async () => {
  const { stdout } = await promisify(execFile)('docker-compose', ['-f', COMPOSE_FILE, 'config', '--services']);
  expect(stdout.split('\n')).toContain('load-balancer');
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
