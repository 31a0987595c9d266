import { describe, expect, test } from 'vitest';
import { createCapability, createRequirement } from '../domain/platform.ts';
import type { WorkMessage, WorkQueueName } from '../domain/work.ts';
import type { Broker, ReplicaUpdate, WorkDelivery, WorkInterest } from './broker.ts';

/** A broker that a test has for itself. */
export interface BrokerFixture extends AsyncDisposable {
  readonly broker: Broker;
  /** Another replica's, on the same carrier; the same one where a farm has but one process. */
  readonly other: Broker;
  /** What the two replicas are called. */
  readonly replicaIds: readonly [string, string];
  /** An instance that no other test uses. */
  readonly instanceName: string;
  /** Whether the more urgent work of a queue comes first. */
  readonly priorities: boolean;
}

const never = new AbortController().signal;

let lastNumber = 0;

/** A message that needs no more than what a test cares for. */
export function workOf(instanceName: string, changes: Partial<WorkMessage> = {}): WorkMessage {
  lastNumber += 1;
  return {
    jobId: `aa-00000000-0000-4000-8000-${lastNumber.toString(16).padStart(12, '0')}`,
    attempt: 1,
    instanceName,
    requirement: createRequirement([]),
    priority: 0,
    queuedAt: lastNumber,
    offeredAt: lastNumber,
    actionDigest: { digestFunction: 1, hash: 'a'.repeat(64), sizeBytes: 1 },
    tool: '',
    target: '',
    mnemonic: '',
    invocation: '',
    ...changes,
  };
}

function interestOf(instanceName: string, properties: ReadonlyArray<readonly [string, string]> = []): WorkInterest {
  return { instanceName, capability: createCapability(properties.map(([name, value]) => ({ name, value }))) };
}

async function take(broker: Broker, interest: WorkInterest): Promise<WorkMessage> {
  const delivery = await broker.takeNext(interest, AbortSignal.timeout(10_000));
  delivery.acknowledge();
  return delivery.work;
}

/** The rules of Broker, for any implementation. */
export function describeBroker(name: string, create: () => Promise<BrokerFixture>): void {
  describe(`${name} as a Broker`, () => {
    test('work that waits goes to a bot that comes, as it was offered', async () => {
      await using fixture = await create();
      const { broker, instanceName } = fixture;
      const work = workOf(instanceName, { tool: 'bazel', target: '//a:b', mnemonic: 'Compile', invocation: 'one' });
      await broker.offerWork(work, never);
      expect(await take(broker, interestOf(instanceName))).toEqual(work);
    });

    test('work that comes goes to a bot that waits', async () => {
      await using fixture = await create();
      const { broker, instanceName } = fixture;
      const taken = take(broker, interestOf(instanceName));
      const work = workOf(instanceName);
      await broker.offerWork(work, never);
      expect((await taken).jobId).toBe(work.jobId);
    });

    test('a message goes to one bot alone', async () => {
      await using fixture = await create();
      const { broker, instanceName } = fixture;
      const works = Array.from({ length: 10 }, () => workOf(instanceName));
      const taken = works.map(() => take(broker, interestOf(instanceName)));
      for (const work of works) await broker.offerWork(work, never);
      const ids = (await Promise.all(taken)).map((each) => each.jobId);
      expect(ids.sort()).toEqual(works.map((each) => each.jobId).sort());
    });

    test('where nothing waits nothing is taken', async () => {
      await using fixture = await create();
      expect(await fixture.broker.takeNow(interestOf(fixture.instanceName), never)).toBeUndefined();
    });

    test('a wait ends with the reason of its signal, and takes nothing with it', async () => {
      await using fixture = await create();
      const { broker, instanceName } = fixture;
      const controller = new AbortController();
      const waiting = broker.takeNext(interestOf(instanceName), controller.signal);
      controller.abort(new Error('enough'));
      await expect(waiting).rejects.toThrow('enough');
      const work = workOf(instanceName);
      await broker.offerWork(work, never);
      expect((await take(broker, interestOf(instanceName))).jobId).toBe(work.jobId);
    });

    test.each([
      ['no requirement', [], [], true],
      [
        'one of several values',
        [['ISA', 'arm']],
        [
          ['ISA', 'x86'],
          ['ISA', 'arm'],
        ],
        true,
      ],
      [
        'a subset of what is offered',
        [['ISA', 'arm']],
        [
          ['ISA', 'arm'],
          ['OSFamily', 'linux'],
        ],
        true,
      ],
      ['another value', [['ISA', 'arm']], [['ISA', 'x86']], false],
      ['a property that is not offered', [['Pool', 'gpu']], [['ISA', 'arm']], false],
    ] as ReadonlyArray<[string, Array<[string, string]>, Array<[string, string]>, boolean]>)(
      'a requirement with %s fits as the capability covers it',
      async (_what, required, offered, fits) => {
        await using fixture = await create();
        const { broker, instanceName } = fixture;
        const requirement = createRequirement(required.map(([name, value]) => ({ name, value })));
        const work = workOf(instanceName, { requirement });
        const other = workOf(instanceName, { priority: 9 });
        await broker.offerWork(work, never);
        // A carrier may give of two queues either first.
        if (!fits) await broker.offerWork(other, never);
        const first = await take(broker, interestOf(instanceName, offered));
        expect(first.jobId).toBe(fits ? work.jobId : other.jobId);
      },
    );

    test('work of one instance goes to no bot of another', async () => {
      await using fixture = await create();
      const { broker, instanceName } = fixture;
      await broker.offerWork(workOf(instanceName), never);
      expect(await broker.takeNow(interestOf(`${instanceName}-other`), never)).toBeUndefined();
    });

    test('the lower priority number comes first, and of two equal ones the older', async () => {
      await using fixture = await create();
      const { broker, instanceName } = fixture;
      const [late, urgent, early] = [
        workOf(instanceName, { priority: 5, queuedAt: 2_000 }),
        workOf(instanceName, { priority: -5, queuedAt: 3_000 }),
        workOf(instanceName, { priority: 5, queuedAt: 4_000 }),
      ];
      for (const work of [late, urgent, early]) await broker.offerWork(work, never);
      const order = [];
      for (let i = 0; i < 3; i++) order.push((await take(broker, interestOf(instanceName))).jobId);
      const byUrgency = [urgent.jobId, late.jobId, early.jobId];
      expect(order).toEqual(fixture.priorities ? byUrgency : [late.jobId, urgent.jobId, early.jobId]);
    });

    test('what is given back goes to another bot', async () => {
      await using fixture = await create();
      const { broker, instanceName } = fixture;
      const work = workOf(instanceName);
      await broker.offerWork(work, never);
      const first: WorkDelivery = await broker.takeNext(interestOf(instanceName), AbortSignal.timeout(10_000));
      first.giveBack();
      expect((await take(broker, interestOf(instanceName))).jobId).toBe(work.jobId);
    });

    test('a paused queue hands out nothing until it goes on', async () => {
      await using fixture = await create();
      const { broker, instanceName } = fixture;
      const requirement = createRequirement([{ name: 'ISA', value: 'arm' }]);
      const queue: WorkQueueName = { instanceName, requirement };
      const interest = interestOf(instanceName, [['ISA', 'arm']]);
      await broker.setPaused(queue, true, never);
      const held = workOf(instanceName, { requirement, priority: -9 });
      await broker.offerWork(held, never);
      const free = workOf(instanceName);
      await broker.offerWork(free, never);
      expect((await take(broker, interest)).jobId).toBe(free.jobId);
      expect(
        (await broker.queues(never)).find(
          ({
            queue: {
              requirement: { key },
            },
          }) => key === requirement.key,
        )?.paused,
      ).toBe(true);
      const taken = take(broker, interest);
      await broker.setPaused(queue, false, never);
      expect((await taken).jobId).toBe(held.jobId);
    });

    test('an update reaches the replica that it is sent to, and no other', async () => {
      await using fixture = await create();
      const { broker, other, replicaIds } = fixture;
      const [one, two] = replicaIds;
      const updates: ReplicaUpdate[] = [];
      const arrived = new Promise<void>((resolve) => {
        broker.onUpdate(one, (update) => {
          updates.push(update);
          if (updates.length === 2) resolve();
        });
      });
      const others: ReplicaUpdate[] = [];
      const stop = other.onUpdate(two, (update) => others.push(update));
      const changed = { kind: 'job-changed', jobId: 'aa-1', version: 3 } as const;
      const ended = { kind: 'lease-ended', botSessionName: 'main/1', leaseId: 'aa-1.1' } as const;
      broker.publishUpdate([one], changed);
      broker.publishUpdate([one], ended);
      await arrived;
      expect(updates).toEqual([changed, ended]);
      expect(others).toEqual([]);
      stop();
    });
  });
}
