import { beforeEach, describe, expect, test } from 'vitest';
import { InProcessLogStreamStore } from '../adapters/log-stream/in-process/in-process-log-stream-store.ts';
import type { Job } from '../domain/job.ts';
import { parseWriteName } from '../domain/resource-name.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { SequentialIdGenerator } from '../lib/ids.ts';
import { silentLogger } from '../lib/log.ts';
import type { LogStreamStore } from '../ports/log-stream-store.ts';
import { LogStreamNames } from './log-stream-names.ts';

const signal = new AbortController().signal;
const limits = {
  maximumStreamBytes: 1_000,
  maximumTotalBytes: 10_000,
  maximumStreams: 10,
  retentionMilliseconds: 1_000,
};
const job = {
  id: 'ab-00000000-0000-4000-8000-000000000001',
  instanceName: 'main',
  lease: { attempt: 1 },
} as unknown as Job;

let clock: FakeClock;
let store: InProcessLogStreamStore;
let ids: SequentialIdGenerator;
let names: LogStreamNames;

function replica(on: Pick<LogStreamStore, 'shareSecret'> = store): LogStreamNames {
  return new LogStreamNames({ store: on, ids, clock, logger: silentLogger });
}

function parse(name: string | undefined) {
  const parsed = parseWriteName(name ?? '');
  if (parsed.kind !== 'log-stream') throw new Error(`${name} is no log stream`);
  return parsed;
}

beforeEach(async () => {
  clock = new FakeClock();
  store = new InProcessLogStreamStore(clock, limits);
  ids = new SequentialIdGenerator();
  names = replica();
  await names.start(signal);
});

describe('LogStreamNames', () => {
  test('a name to write is the name to read and a token', () => {
    const [read, write] = [names.readNames(job), names.writeNames(job)];
    expect(read?.stdout).toBe(`main/logStreams/${job.id}.1.stdout`);
    expect(write?.stdout).toMatch(/^main\/logStreams\/[^/]+\/[0-9a-f]{32}$/);
    expect(write?.stdout.startsWith(`${read?.stdout}/`)).toBe(true);
  });

  test('a job without a lease has none', () => {
    const waiting = { ...job, lease: undefined };
    expect([names.readNames(waiting), names.writeNames(waiting)]).toEqual([undefined, undefined]);
  });

  test('what was named may be written, at any replica', async () => {
    const other = replica();
    await other.start(signal);
    const write = names.writeNames(job);
    for (const name of [write?.stdout, write?.stderr, names.writeName('main', 'an-id')]) {
      expect([names, other].map((each) => each.mayWrite(parse(name)))).toEqual([true, true]);
    }
  });

  test('a token is good for one stream of one attempt in one instance', () => {
    const own = parse(names.writeNames(job)?.stdout);
    const strangers = [
      names.writeNames({ ...job, instanceName: 'other' })?.stdout,
      names.writeNames({ ...job, lease: { attempt: 2 } } as Job)?.stdout,
      names.writeNames(job)?.stderr,
      names.writeName('main', 'an-id'),
    ];
    for (const each of strangers) {
      expect(names.mayWrite({ ...own, writeToken: parse(each).writeToken })).toBe(false);
    }
    expect(names.mayWrite({ ...own, writeToken: undefined })).toBe(false);
    expect(names.mayWrite(own)).toBe(true);
  });

  test('before it knows the secret nothing is named and nothing may be written', () => {
    const early = replica();
    expect(early.writeNames(job)).toBeUndefined();
    expect(early.mayWrite(parse(names.writeName('main', 'an-id')))).toBe(false);
    expect(early.mayWrite(parse(early.writeName('main', 'an-id')))).toBe(false);
  });

  test('a store that lost the secret gets it back', async () => {
    const write = names.writeName('main', 'an-id');
    let kept: string | undefined;
    const emptied = replica({
      shareSecret: async (proposal) => {
        kept ??= await store.shareSecret(proposal);
        return kept;
      },
    });
    await emptied.start(signal);
    const before = kept;
    kept = undefined;
    await clock.advance(30_000);
    expect(kept).toBe(before);
    expect(emptied.mayWrite(parse(write))).toBe(true);
    await emptied.stop();
  });

  test('where another secret has taken its place, names of both are good', async () => {
    let kept = 'first';
    const moving = replica({ shareSecret: async () => kept });
    await moving.start(signal);
    const write = moving.writeName('main', 'an-id');
    kept = 'second';
    await clock.advance(30_000);
    expect(moving.writeName('main', 'an-id')).not.toBe(write);
    expect(moving.mayWrite(parse(write))).toBe(true);
    expect(moving.mayWrite(parse(moving.writeName('main', 'an-id')))).toBe(true);
    await moving.stop();
  });

  test('a store that can not be reached is asked again, and no timer is left behind', async () => {
    let asked = 0;
    const failing = replica({
      shareSecret: async (proposal) => {
        asked += 1;
        if (asked > 1) throw new StatusError(StatusCode.UNAVAILABLE, 'away');
        return proposal;
      },
    });
    await failing.start(signal);
    await clock.advance(60_000);
    expect(asked).toBe(3);
    await failing.stop();
    await names.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  test('stopped while it asks for the secret it asks no more', async () => {
    let answer = (_secret: string) => {};
    let asked = 0;
    const slow = replica({
      shareSecret: (proposal) => {
        asked += 1;
        if (asked === 1) return Promise.resolve(proposal);
        return new Promise((resolve) => {
          answer = resolve;
        });
      },
    });
    await slow.start(signal);
    await names.stop();
    await clock.advance(30_000);
    await slow.stop();
    answer('late');
    await clock.advance(60_000);
    expect(asked).toBe(2);
    expect(clock.pendingTimers).toBe(0);
  });
});
