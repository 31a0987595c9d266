import { describe, expect, test } from 'vitest';
import { type Service, ServiceGroup } from './lifecycle.ts';

const never = new AbortController().signal;

function recorder(name: string, events: string[], failing?: 'start' | 'stop'): Service {
  const act = (what: 'start' | 'stop') => {
    events.push(`${what} ${name}`);
    return failing === what ? Promise.reject(new Error(`${name} cannot ${what}`)) : Promise.resolve();
  };
  return { name, start: () => act('start'), stop: () => act('stop') };
}

describe('ServiceGroup', () => {
  test('starts in order and stops in reverse', async () => {
    const events: string[] = [];
    const group = new ServiceGroup('group', [recorder('a', events), recorder('b', events)]);
    await group.start(never);
    await group.stop(never);
    expect(events).toEqual(['start a', 'start b', 'stop b', 'stop a']);
  });

  test('a failed start stops those before it', async () => {
    const events: string[] = [];
    const group = new ServiceGroup('group', [recorder('a', events), recorder('b', events, 'start')]);
    await expect(group.start(never)).rejects.toThrow('b cannot start');
    expect(events).toEqual(['start a', 'start b', 'stop a']);
  });

  test('a failed stop does not keep the others from stopping, and is reported', async () => {
    const events: string[] = [];
    const group = new ServiceGroup('group', [recorder('a', events), recorder('b', events, 'stop')]);
    await group.start(never);
    await expect(group.stop(never)).rejects.toThrow('failed to stop group');
    expect(events).toEqual(['start a', 'start b', 'stop b', 'stop a']);
  });

  test('stops each service once', async () => {
    const events: string[] = [];
    const group = new ServiceGroup('group', [recorder('a', events)]);
    await group.start(never);
    await group.stop(never);
    await group.stop(never);
    expect(events).toEqual(['start a', 'stop a']);
  });
});
