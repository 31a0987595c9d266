import assert from 'node:assert/strict';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createCapability, createRequirement, fits } from '../../../domain/platform.ts';
import { StatusCode } from '../../../domain/status-code.ts';
import type { WorkMessage } from '../../../domain/work.ts';
import { describeBroker, workOf } from '../../../ports/broker.suite.ts';
import { InProcessBroker } from './in-process-broker.ts';
import { runsBefore } from './work-queue.ts';

const signal = new AbortController().signal;

describeBroker('InProcessBroker', async () => {
  const broker = new InProcessBroker();
  return {
    broker,
    other: broker,
    replicaIds: ['replica-1', 'replica-2'],
    instanceName: 'main',
    priorities: true,
    [Symbol.asyncDispose]: async () => {},
  };
});

describe('InProcessBroker', () => {
  const NO_PROPERTIES = { instanceName: 'main', capability: createCapability([]) };

  test('an offer of the same job takes the place of the earlier one', async () => {
    const broker = new InProcessBroker();
    const work = workOf('main', { priority: 5 });
    await broker.offerWork(work, signal);
    await broker.offerWork(workOf('main', { priority: 3 }), signal);
    await broker.offerWork({ ...work, priority: 1 }, signal);
    expect((await broker.takeNow(NO_PROPERTIES, signal))?.work.jobId).toBe(work.jobId);
    expect((await broker.queues(signal))[0]?.waiting).toBe(1);
  });

  test('what is withdrawn is gone, and holds no memory', async () => {
    const broker = new InProcessBroker();
    const work = workOf('main');
    await broker.offerWork(work, signal);
    broker.withdrawWork(work, work.jobId);
    expect(await broker.takeNow(NO_PROPERTIES, signal)).toBeUndefined();
    expect((await broker.queues(signal))[0]?.waiting).toBe(0);
  });

  test('more queues than the bound are refused while all hold work, and empty ones make room', async () => {
    const broker = new InProcessBroker({ maxQueues: 2 });
    const of = (value: string) => workOf('main', { requirement: createRequirement([{ name: 'Pool', value }]) });
    const first = of('1');
    await broker.offerWork(first, signal);
    await broker.offerWork(of('2'), signal);
    await expect(broker.offerWork(of('3'), signal)).rejects.toMatchObject({ code: StatusCode.RESOURCE_EXHAUSTED });
    broker.withdrawWork(first, first.jobId);
    await expect(broker.offerWork(of('3'), signal)).resolves.toBeUndefined();
  });

  test('classes of bots with none waiting make room for others, and come back when needed', async () => {
    const broker = new InProcessBroker({ maxBotClasses: 2 });
    const of = (value: string) => ({ instanceName: 'main', capability: createCapability([{ name: 'Host', value }]) });
    for (let i = 0; i < 10; i++) await broker.takeNow(of(String(i)), signal);
    const work = workOf('main');
    await broker.offerWork(work, signal);
    expect((await broker.takeNow(of('0'), signal))?.work.jobId).toBe(work.jobId);
  });

  test('whatever comes and goes, a bot gets the best of all that fits it', async () => {
    const values = ['a', 'b', 'c'];
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('offer' as const),
        keys: fc.subarray(values, { maxLength: 2 }),
        priority: fc.integer({ min: 0, max: 3 }),
      }),
      fc.record({ kind: fc.constant('withdraw' as const), index: fc.nat({ max: 20 }) }),
      fc.record({
        kind: fc.constant('pause' as const),
        keys: fc.subarray(values, { maxLength: 2 }),
        paused: fc.boolean(),
      }),
      fc.record({ kind: fc.constant('take' as const), keys: fc.subarray(values), giveBack: fc.boolean() }),
    );
    const properties = (keys: readonly string[]) => keys.map((name) => ({ name, value: 'yes' }));
    const property = fc.asyncProperty(fc.array(step, { maxLength: 80 }), async (steps) => {
      const broker = new InProcessBroker();
      const model: WorkMessage[] = [];
      const paused = new Set<string>();
      for (const each of steps) {
        if (each.kind === 'offer') {
          const work = workOf('main', {
            requirement: createRequirement(properties(each.keys)),
            priority: each.priority,
          });
          model.push(work);
          await broker.offerWork(work, signal);
        } else if (each.kind === 'withdraw') {
          const [work] = model.splice(each.index, 1);
          if (work !== undefined) broker.withdrawWork(work, work.jobId);
        } else if (each.kind === 'pause') {
          const requirement = createRequirement(properties(each.keys));
          if (each.paused) paused.add(requirement.key);
          else paused.delete(requirement.key);
          await broker.setPaused({ instanceName: 'main', requirement }, each.paused, signal);
        } else {
          const capability = createCapability(properties(each.keys));
          const best = model
            .filter(({ requirement }) => fits(requirement, capability) && !paused.has(requirement.key))
            .reduce<WorkMessage | undefined>((a, b) => (a === undefined || runsBefore(b, a) ? b : a), undefined);
          const delivery = await broker.takeNow({ instanceName: 'main', capability }, signal);
          assert.equal(delivery?.work.jobId, best?.jobId);
          if (each.giveBack) delivery?.giveBack();
          else if (best !== undefined) model.splice(model.indexOf(best), 1);
        }
      }
    });
    await expect(fc.assert(property)).resolves.toBeUndefined();
  });
});
