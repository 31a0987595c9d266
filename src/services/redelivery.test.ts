import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { AT_ONCE, callContext } from '../../test/support/call-context.ts';
import { testInstance } from '../../test/support/instance.ts';
import { type ActionWish, TestGrid } from '../../test/support/test-grid.ts';
import type { Digest } from '../domain/digest.ts';
import { digestToPlain } from '../domain/job.ts';
import { StatusCode } from '../domain/status-code.ts';
import { silentLogger } from '../lib/log.ts';
import { workOf } from '../ports/broker.suite.ts';
import { ActionResult } from '../proto/build/bazel/remote/execution/v2/remote_execution.ts';
import type { DeadLetter } from '../proto/warren/v1/administration.ts';
import { Administration } from './administration.ts';
import { Instances } from './instances.ts';
import { Redelivery } from './redelivery.ts';

const NO_ONE = { all: false, jobIds: [] };
const ALL = { all: true, jobIds: [] };
let grid: TestGrid;
let administration: Administration;
let redelivery: Redelivery;

beforeEach(async () => {
  grid = await new TestGrid().start();
  const instances = new Instances([
    testInstance(grid.blobs, { name: 'main', pins: grid.blobs, actionResults: grid.actionResults }),
  ]);
  const { scheduler, clock } = grid;
  administration = new Administration({ instances, scheduler });
  redelivery = new Redelivery({ instances, scheduler, clock, logger: silentLogger });
  await redelivery.start();
});

afterEach(async () => {
  await redelivery.stop();
  await grid.stop();
});

/** A dead letter of an action that is stored. */
async function die(wish: ActionWish = {}): Promise<{ readonly jobId: string; readonly action: Digest }> {
  const action = await grid.uploadAction(wish);
  const work = workOf('main', { actionDigest: digestToPlain(action), target: '//a:b' });
  await grid.broker.publishDeadLetter({ work, reason: 'given up', at: grid.clock.now() });
  return { jobId: work.jobId, action };
}

async function letters(): Promise<readonly DeadLetter[]> {
  return (await administration.listDeadLetters({ limit: 0 }, callContext())).deadLetters;
}

describe('dead letters', () => {
  test('are listed, the oldest first, and stay', async () => {
    const first = await die({ argument: '1' });
    const second = await die({ argument: '2' });
    expect(await letters()).toMatchObject([
      { jobId: first.jobId, instanceName: 'main', reason: 'given up', target: '//a:b', actionHash: first.action.hash },
      { jobId: second.jobId },
    ]);
    expect(await letters()).toHaveLength(2);
    const { deadLetters } = await administration.listDeadLetters({ limit: 1 }, callContext());
    expect(deadLetters).toHaveLength(1);
  });

  test('that are sent again run with nobody waiting, and their results go to the action cache', async () => {
    const { jobId, action } = await die();
    await die({ argument: 'other' });
    const selection = { all: false, jobIds: [jobId] };
    expect(await administration.resendDeadLetters({ selection }, callContext())).toEqual({ jobIds: [jobId] });
    expect(await letters()).toHaveLength(1);
    // Long past what a job may go on for that its client left.
    await grid.clock.advance(60_000);
    const bot = grid.bot('bot');
    await bot.create();
    bot.complete(bot.leases[0]?.id ?? '', { exitCode: 0 });
    await bot.update(AT_ONCE);
    const client = grid.execute(action);
    await client.done;
    expect(client.response).toMatchObject({ cachedResult: true, status: { code: 0 } });
  });

  test('whose result is cached by now are not executed', async () => {
    const { action } = await die();
    await grid.actionResults.put('main', action, ActionResult.create(), callContext().signal);
    await administration.resendDeadLetters({ selection: ALL }, callContext());
    expect(await letters()).toEqual([]);
    expect(await grid.jobs.count(callContext().signal)).toMatchObject({ queued: 0 });
  });

  test('that can not be executed come back with the reason', async () => {
    await die({ doNotCache: true });
    const work = workOf('main', { actionDigest: { digestFunction: 1, hash: 'e'.repeat(64), sizeBytes: 5 } });
    await grid.broker.publishDeadLetter({ work, reason: 'given up', at: 0 });
    await administration.resendDeadLetters({ selection: ALL }, callContext());
    expect((await letters()).map(({ reason }) => reason)).toEqual([
      'it was sent again, and could not be executed: the action must not be cached, and no client waits for its result',
      `it was sent again, and could not be executed: the action is not stored: blobs/${'e'.repeat(64)}/5`,
    ]);
  });

  test('are dropped', async () => {
    await die();
    await administration.dropDeadLetters({ selection: ALL }, callContext());
    expect(await letters()).toEqual([]);
    expect(await grid.jobs.count(callContext().signal)).toMatchObject({ queued: 0 });
  });

  test.each([undefined, NO_ONE])('must be named', async (selection) => {
    await expect(administration.resendDeadLetters({ selection }, callContext())).rejects.toMatchObject({
      code: StatusCode.INVALID_ARGUMENT,
    });
  });

  test('stay where nobody executes', async () => {
    await die();
    await redelivery.stop();
    await expect(administration.resendDeadLetters({ selection: ALL }, callContext())).rejects.toMatchObject({
      code: StatusCode.UNAVAILABLE,
    });
    expect(await letters()).toHaveLength(1);
  });
});
