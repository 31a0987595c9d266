import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createRequirement } from '../../../domain/platform.ts';
import { eventRoutingKey, updatesQueueName, workQueueName } from './names.ts';

function queue(instanceName: string, properties: Record<string, string>) {
  return {
    instanceName,
    requirement: createRequirement(Object.entries(properties).map(([name, value]) => ({ name, value }))),
  };
}

describe('workQueueName', () => {
  test('can be read in the console', () => {
    expect(workQueueName(queue('main', { OSFamily: 'linux', ISA: 'x86-64' }))).toBe(
      'warren.work.main.ISA=x86-64;OSFamily=linux',
    );
  });

  test('an instance with dots and slashes is one word of the name', () => {
    expect(workQueueName(queue('team/a.b', {}))).toBe('warren.work.team%2Fa%2Eb.');
  });

  test('different queues have different names, and every name fits into AMQP', () => {
    const name = fc.string({ unit: 'binary', maxLength: 120 });
    const properties = fc.dictionary(fc.string({ unit: 'binary', maxLength: 40 }), fc.string({ maxLength: 60 }));
    fc.assert(
      fc.property(name, properties, name, properties, (instanceA, propertiesA, instanceB, propertiesB) => {
        const [a, b] = [queue(instanceA, propertiesA), queue(instanceB, propertiesB)];
        const same = a.instanceName === b.instanceName && a.requirement.key === b.requirement.key;
        fc.pre(isWellFormed(instanceA) && isWellFormed(instanceB));
        expect(workQueueName(a) === workQueueName(b)).toBe(same);
        expect(Buffer.byteLength(workQueueName(a))).toBeLessThanOrEqual(200);
      }),
    );
  });
});

/** Half a surrogate pair has no UTF-8 of its own; no client can send one. */
function isWellFormed(text: string): boolean {
  return Buffer.from(text, 'utf8').toString('utf8') === text;
}

test('the routing key of an event has two words, whatever the instance is called', () => {
  expect(eventRoutingKey('completed', 'a.b/c').split('.')).toEqual(['completed', 'a%2Eb%2Fc']);
  expect(eventRoutingKey('queued', '#*')).toBe('queued.%23%2A');
});

test('the queue of updates bears the name of its replica', () => {
  expect(updatesQueueName('host-1:7')).toBe('warren.updates.host-1:7');
});
