import { describe, expect, test } from 'vitest';
import { describeBroker, workOf } from '../../ports/broker.suite.ts';
import type { DeadLetter, JobEventMessage } from '../../ports/broker.ts';
import { InProcessBroker } from './in-process/in-process-broker.ts';
import { ObservedBroker } from './observed-broker.ts';

const SILENT = { jobChanged: () => {}, deadLettered: () => {} };

describeBroker('ObservedBroker', async () => {
  const broker = new ObservedBroker(new InProcessBroker(), SILENT);
  return {
    broker,
    other: broker,
    replicaIds: ['replica-1', 'replica-2'],
    instanceName: 'main',
    priorities: true,
    [Symbol.asyncDispose]: async () => {},
  };
});

describe('ObservedBroker', () => {
  test('tells of events and dead letters, also where nobody taps', async () => {
    const heard: unknown[] = [];
    const inner = new InProcessBroker();
    const broker = new ObservedBroker(inner, {
      jobChanged: (event) => heard.push(event),
      deadLettered: (letter) => heard.push(letter),
    });
    const event = { jobId: 'job', state: 'queued' } as JobEventMessage;
    const letter: DeadLetter = { work: workOf('main'), reason: 'test', at: 5 };
    expect(broker.eventsWanted).toBe(true);
    broker.publishEvent(event);
    await broker.publishDeadLetter(letter);
    expect(heard).toEqual([event, letter]);
    expect(inner.deadLetters()).toEqual([letter]);
  });
});
