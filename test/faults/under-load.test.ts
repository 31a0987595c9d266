import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { FAIL_OVERS } from '../support/faults/fail-over-faults.ts';
import type { Fault } from '../support/faults/fault.ts';
import { FaultFarm } from '../support/faults/fault-farm.ts';
import { describeReport, runFault } from '../support/faults/fault-run.ts';
import { FAULTS } from '../support/faults/faults.ts';
import { NETWORK_FAULTS } from '../support/faults/network-faults.ts';

/** One farm under steady load, some of whose clocks are minutes off, and everything that may happen to it, in turn. */

/** WARREN_FAULTS_SEED repeats a run's choices; which are left to chance are the replica that is struck and the times. */
const seed = Number(process.env['WARREN_FAULTS_SEED'] ?? Date.now() % 1_000_000);
const only = process.env['WARREN_FAULTS_ONLY'] ?? '';

const SETTLES_WITHIN_MS = 60_000;
const CASE_MS = 300_000;

let farm: FaultFarm;

beforeAll(async () => {
  process.stdout.write(`seed ${seed}\n`);
  farm = await FaultFarm.start({ seed });
}, 180_000);

afterAll(async () => {
  await farm?.close();
}, 60_000);

/** @returns the slowest action's time, in milliseconds. @throws Error that says what does not hold. */
async function survive(struck: FaultFarm, fault: Fault): Promise<number> {
  const report = await runFault(struck, fault, { settlesWithin: SETTLES_WITHIN_MS }).catch((cause: unknown) => {
    throw new Error(`seed ${seed}: ${String(cause)}\n${struck.logs}`, { cause });
  });
  process.stdout.write(`${describeReport(report)}\n`);
  return report.slowestMilliseconds;
}

describe('a farm under load keeps every promise', () => {
  for (const fault of [...FAULTS, ...NETWORK_FAULTS].filter(({ name }) => name.includes(only))) {
    test(`with ${fault.name}`, { timeout: CASE_MS }, async () => {
      expect(await survive(farm, fault)).toBeLessThanOrEqual(fault.bound);
    });
  }

  const failOvers = FAIL_OVERS.filter(({ name }) => name.includes(only));
  describe.runIf(failOvers.length > 0)('and Sentinels', () => {
    let group: FaultFarm;

    beforeAll(async () => {
      group = await FaultFarm.start({ seed, sentinel: true });
    }, 180_000);

    afterAll(async () => {
      await group?.close();
    }, 60_000);

    for (const fault of failOvers) {
      test(`with ${fault.name}`, { timeout: CASE_MS }, async () => {
        expect(await survive(group, fault)).toBeLessThanOrEqual(fault.bound);
      });
    }
  });
});
