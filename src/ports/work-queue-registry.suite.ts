import { describe, expect, test } from 'vitest';
import { createRequirement } from '../domain/platform.ts';
import { StatusCode } from '../domain/status-code.ts';
import type { WorkQueueName } from '../domain/work.ts';
import type { WorkQueueRegistry } from './work-queue-registry.ts';

/** A registry that a test has for itself. */
export interface WorkQueueRegistryFixture extends AsyncDisposable {
  readonly registry: WorkQueueRegistry;
  /** The bound that it was made with; at least 3. */
  readonly maxQueues: number;
  /** Lets the registry's idle time pass. */
  readonly passIdleTime: () => Promise<void>;
}

const signal = new AbortController().signal;

function queueOf(os: string, instanceName = 'main'): WorkQueueName {
  return { instanceName, requirement: createRequirement([{ name: 'OSFamily', value: os }]) };
}

/** The rules of WorkQueueRegistry, for any implementation. */
export function describeWorkQueueRegistry(name: string, create: () => Promise<WorkQueueRegistryFixture>): void {
  describe(`${name} as a WorkQueueRegistry`, () => {
    test('a queue is new once', async () => {
      await using fixture = await create();
      expect(await fixture.registry.add(queueOf('linux'), signal)).toBe(true);
      expect(await fixture.registry.add(queueOf('linux'), signal)).toBe(false);
      expect(await fixture.registry.add(queueOf('linux', 'other'), signal)).toBe(true);
      expect(await fixture.registry.list(signal)).toHaveLength(2);
    });

    test('a queue comes back as it went in, whatever its requirement holds', async () => {
      await using fixture = await create();
      const queue: WorkQueueName = {
        instanceName: 'team/a.b',
        requirement: createRequirement([
          { name: 'ISA', value: 'x;y=z%' },
          { name: 'ISA', value: 'ünï\u0000' },
        ]),
      };
      await fixture.registry.add(queue, signal);
      expect(await fixture.registry.list(signal)).toEqual([{ queue, paused: false, handedOutTo: {} }]);
    });

    test('a pause holds until it is taken back', async () => {
      await using fixture = await create();
      await fixture.registry.add(queueOf('linux'), signal);
      await fixture.registry.setPaused(queueOf('linux'), true, signal);
      await fixture.registry.add(queueOf('linux'), signal);
      expect(await fixture.registry.list(signal)).toMatchObject([{ paused: true }]);
      await fixture.registry.setPaused(queueOf('linux'), false, signal);
      expect(await fixture.registry.list(signal)).toMatchObject([{ paused: false }]);
    });

    test('a queue can be paused before there is any work for it', async () => {
      await using fixture = await create();
      await fixture.registry.setPaused(queueOf('linux'), true, signal);
      expect(await fixture.registry.list(signal)).toMatchObject([{ queue: queueOf('linux'), paused: true }]);
    });

    test('a queue that nobody adds any more is forgotten, unless it is paused', async () => {
      await using fixture = await create();
      await fixture.registry.add(queueOf('linux'), signal);
      await fixture.registry.add(queueOf('macos'), signal);
      await fixture.registry.setPaused(queueOf('macos'), true, signal);
      await fixture.passIdleTime();
      expect(await fixture.registry.list(signal)).toMatchObject([{ queue: queueOf('macos'), paused: true }]);
    });

    test('of what was handed out the youngest of each level stays, as long as the queue is known', async () => {
      await using fixture = await create();
      const { registry } = fixture;
      await registry.add(queueOf('linux'), signal);
      await registry.noteHandedOut(queueOf('linux'), { 5: 1_764_000_000_123, 0: 7 }, signal);
      await registry.noteHandedOut(queueOf('linux'), { 5: 1_764_000_000_122, 10: 3 }, signal);
      await registry.noteHandedOut(queueOf('macos'), { 5: 1 }, signal);
      expect(await registry.list(signal)).toEqual([
        { queue: queueOf('linux'), paused: false, handedOutTo: { 0: 7, 5: 1_764_000_000_123, 10: 3 } },
      ]);
      await fixture.passIdleTime();
      await registry.add(queueOf('linux'), signal);
      expect(await registry.list(signal)).toMatchObject([{ handedOutTo: {} }]);
    });

    test('more queues than the bound are refused with RESOURCE_EXHAUSTED, and known ones are not', async () => {
      await using fixture = await create();
      for (let i = 0; i < fixture.maxQueues; i++) await fixture.registry.add(queueOf(`os${i}`), signal);
      await expect(fixture.registry.add(queueOf('one-more'), signal)).rejects.toMatchObject({
        code: StatusCode.RESOURCE_EXHAUSTED,
      });
      expect(await fixture.registry.add(queueOf('os0'), signal)).toBe(false);
    });
  });
}
