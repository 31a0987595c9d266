import type { TestProject } from 'vitest/node';
import { startGrid } from '../support/grid.ts';
import type { TargetDescription } from './target.ts';

/**
 * Finds the server under test: the one named by WARREN_CONFORMANCE_REMOTE, or a grid of our own without a worker, which
 * lives as long as the run.
 */
export default async function setup(project: TestProject): Promise<(() => Promise<void>) | undefined> {
  const remote = process.env['WARREN_CONFORMANCE_REMOTE'] ?? '';
  const common = {
    instanceName: process.env['WARREN_CONFORMANCE_INSTANCE'] ?? '',
    propertyKey: process.env['WARREN_CONFORMANCE_PROPERTY'] ?? 'OSFamily',
  };
  if (remote !== '') {
    const addresses = remote.split(',').map((each) => each.trim().replace(/^grpc:\/\//, ''));
    const choices = process.env['WARREN_CONFORMANCE_CHOICES'] === '1';
    project.provide('target', { addresses, choices, ...common } satisfies TargetDescription);
    return undefined;
  }
  const grid = await startGrid();
  project.provide('target', { addresses: [grid.address], choices: true, ...common } satisfies TargetDescription);
  return () => grid.stop();
}
