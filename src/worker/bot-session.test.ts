import { beforeEach, describe, expect, it } from 'vitest';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { Deferred } from '../lib/deferred.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLogger } from '../lib/log.ts';
import type { BotLease, BotReport, BotSessionReply, BotsClient } from '../ports/bots-client.ts';
import { BotSession } from './bot-session.ts';
import { HeldLeases } from './held-leases.ts';
import type { LeaseOutcome } from './lease-runner.ts';

interface Call {
  readonly kind: 'create' | 'update';
  readonly name: string;
  readonly report: BotReport;
  readonly timeoutMilliseconds: number;
  readonly signal: AbortSignal;
  answer(leases?: readonly BotLease[]): void;
  fail(error: StatusError): void;
}

const OUTCOME: LeaseOutcome = {
  result: { messageName: 'build.bazel.remote.execution.v2.ActionResult', encoded: new Uint8Array([1]) },
  status: undefined,
};

describe('BotSession', () => {
  let clock: FakeClock;
  let calls: Call[];
  let sessions: number;
  let running: Map<string, { readonly outcome: Deferred<LeaseOutcome>; readonly signal: AbortSignal }>;
  let session: BotSession;
  let stop: AbortController;
  let ended: boolean;
  let healthy: boolean;
  let lifetime: number;

  beforeEach(() => begin(1));

  function begin(capacity: number): void {
    clock = new FakeClock();
    calls = [];
    sessions = 0;
    running = new Map();
    ended = false;
    healthy = true;
    lifetime = 20_000;
    stop = new AbortController();
    const starter = {
      start(leaseId: string, _payload: unknown, signal: AbortSignal) {
        const outcome = new Deferred<LeaseOutcome>();
        signal.addEventListener('abort', () => outcome.resolve({ result: undefined, status: StatusError.from(0) }));
        running.set(leaseId, { outcome, signal });
        return { outcome: outcome.promise, partialMetadata: () => new Uint8Array([7]) };
      },
    };
    const leases = new HeldLeases(starter, capacity, clock, silentLogger);
    const identity = {
      parent: 'main',
      botId: 'bot',
      properties: [],
      capacity,
      version: 'test',
      healthy: () => healthy,
    };
    session = new BotSession(new FakeClient(), identity, leases, clock, () => 0, silentLogger);
    void session.run(stop.signal).then(() => {
      ended = true;
    });
  }

  class FakeClient implements BotsClient {
    createSession(_parent: string, report: BotReport, timeoutMilliseconds: number, signal: AbortSignal) {
      sessions += 1;
      return record('create', `main/${sessions}`, report, timeoutMilliseconds, signal);
    }

    updateSession(name: string, report: BotReport, timeoutMilliseconds: number, signal: AbortSignal) {
      return record('update', name, report, timeoutMilliseconds, signal);
    }
  }

  function record(
    kind: Call['kind'],
    name: string,
    report: BotReport,
    timeoutMilliseconds: number,
    signal: AbortSignal,
  ): Promise<BotSessionReply> {
    const reply = new Deferred<BotSessionReply>();
    signal.addEventListener('abort', () => reply.reject(signal.reason));
    calls.push({
      kind,
      name,
      report,
      timeoutMilliseconds,
      signal,
      answer: (leases = []) => reply.resolve({ name, leases, expireTime: clock.now() + lifetime }),
      fail: (error) => reply.reject(error),
    });
    return reply.promise;
  }

  function last(): Call {
    return calls.at(-1) as Call;
  }

  function pending(id: string): BotLease {
    return { id, state: 'pending', payload: { messageName: 'x', encoded: new Uint8Array(0) } };
  }

  async function finish(id: string): Promise<void> {
    running.get(id)?.outcome.resolve(OUTCOME);
    await clock.advance(0);
  }

  /** Opens the session and holds the first poll. */
  async function connect(leases: readonly BotLease[] = []): Promise<void> {
    last().answer(leases);
    await clock.advance(leases.length === 0 ? 0 : 20);
  }

  it('opens a session, then polls with a deadline well before the session expires', async () => {
    await connect();
    expect(calls.map(({ kind, name }) => [kind, name])).toEqual([
      ['create', 'main/1'],
      ['update', 'main/1'],
    ]);
    expect(last().timeoutMilliseconds).toBeLessThanOrEqual(10_000);
  });

  it.each([
    ['a short session', 4_000, 4_000],
    ['a clock that is almost a session ahead', 300, 4_000],
    ['a clock that is minutes ahead', -400_000, 10_000],
    ['a clock that is minutes behind', 400_000, 30_000],
  ])('with %s polls long enough to be given work', async (_what, left, expected) => {
    lifetime = left;
    last().answer();
    await clock.advance(0);
    expect(last().timeoutMilliseconds).toBe(expected);
  });

  it('polls again at once when the server held the call', async () => {
    await connect();
    await clock.advance(5_000);
    last().answer();
    await clock.advance(0);
    expect(calls).toHaveLength(3);
  });

  it('waits before it asks again when the server answered at once with nothing', async () => {
    await connect();
    last().answer();
    await clock.advance(0);
    expect(calls).toHaveLength(2);
    await clock.advance(250);
    expect(calls).toHaveLength(3);
  });

  it('starts a lease and reports it active', async () => {
    await connect([pending('a')]);
    expect(running.has('a')).toBe(true);
    expect(last().report.leases).toMatchObject([{ id: 'a', state: 'active' }]);
    expect(last().report.partialExecutionMetadata.get('a')).toEqual(new Uint8Array([7]));
  });

  it('reports a lease that ends at once in one call, without one for its being active', async () => {
    last().answer([pending('a')]);
    await clock.advance(0);
    await finish('a');
    expect(calls).toHaveLength(2);
    expect(last().report.leases).toMatchObject([{ id: 'a', state: 'completed', result: OUTCOME.result }]);
  });

  it('breaks off the pending poll to report a lease that has ended', async () => {
    await connect([pending('a')]);
    await clock.advance(2_000);
    const poll = last();
    await finish('a');
    expect(poll.signal.aborted).toBe(true);
    expect(last().report.leases).toMatchObject([{ id: 'a', state: 'completed' }]);
  });

  it('reports a lease again until the server no longer names it', async () => {
    await connect([pending('a')]);
    await clock.advance(10);
    await finish('a');
    last().fail(new StatusError(StatusCode.UNAVAILABLE, 'gone'));
    await clock.advance(1_000);
    expect(last().report.leases).toMatchObject([{ id: 'a', state: 'completed' }]);
    last().answer([]);
    await clock.advance(0);
    expect(last().report.leases).toEqual([]);
  });

  it.each([
    ['is cancelled', [{ id: 'a', state: 'cancelled' as const }]],
    ['is no longer named', []],
  ])('kills a lease that %s', async (_how, leases) => {
    await connect([pending('a')]);
    last().answer(leases);
    await clock.advance(1_000);
    expect(running.get('a')?.signal.aborted).toBe(true);
    expect(last().report.leases).toEqual([]);
  });

  it('lets leases go on while the server can not be reached, and comes back by itself', async () => {
    await connect([pending('a')]);
    for (let i = 0; i < 5; i++) {
      last().fail(new StatusError(StatusCode.UNAVAILABLE, 'gone'));
      await clock.advance(6_000);
    }
    expect(running.get('a')?.signal.aborted).toBe(false);
    expect(last()).toMatchObject({ kind: 'update', name: 'main/1' });
  });

  it.each([StatusCode.DATA_LOSS, StatusCode.INVALID_ARGUMENT, StatusCode.NOT_FOUND])(
    'kills its leases and opens a new session when the server answers with code %d',
    async (code) => {
      await connect([pending('a')]);
      last().fail(new StatusError(code, 'unknown session'));
      await clock.advance(0);
      expect(running.get('a')?.signal.aborted).toBe(true);
      expect(last()).toMatchObject({ kind: 'create', name: 'main/2', report: { leases: [] } });
    },
  );

  it('keeps the delay that the server asks for', async () => {
    await connect();
    const details = [{ kind: 'retry-info' as const, retryDelayMilliseconds: 9_000 }];
    last().fail(new StatusError(StatusCode.UNAVAILABLE, 'later', { details }));
    await clock.advance(8_000);
    expect(calls).toHaveLength(2);
    await clock.advance(1_000);
    expect(calls).toHaveLength(3);
  });

  it('takes as many leases as it has slots, and goes on polling while one is free', async () => {
    begin(2);
    last().answer([pending('a')]);
    await clock.advance(0);
    expect(calls).toHaveLength(2);
    last().answer([{ id: 'a', state: 'active' }, pending('b')]);
    await clock.advance(20);
    expect(last().report.leases.map(({ id }) => id)).toEqual(['a', 'b']);
  });

  it('starts a lease beyond its slots only once a slot is free', async () => {
    await connect([pending('a'), pending('b')]);
    expect([...running.keys()]).toEqual(['a']);
    await finish('a');
    expect([...running.keys()]).toEqual(['a', 'b']);
  });

  it('calls itself unhealthy as long as it is, and asks seldom meanwhile', async () => {
    await connect();
    healthy = false;
    await clock.advance(5_000);
    last().answer();
    await clock.advance(0);
    expect(last().report.status).toBe('unhealthy');
    const before = calls.length;
    last().answer();
    await clock.advance(999);
    expect(calls).toHaveLength(before);
    healthy = true;
    await clock.advance(1);
    expect(last().report.status).toBe('ok');
  });

  it('drained, says so at once, finishes what runs, takes nothing new, and ends', async () => {
    begin(2);
    await connect([pending('a')]);
    session.drain();
    await clock.advance(4);
    expect(last().report.status).toBe('bot-terminating');
    last().answer([{ id: 'a', state: 'active' }, pending('b')]);
    await clock.advance(4);
    expect(running.has('b')).toBe(false);
    expect(last().report.leases).toMatchObject([
      { id: 'a', state: 'active' },
      { id: 'b', state: 'completed', status: { code: StatusCode.UNAVAILABLE } },
    ]);
    await clock.advance(10);
    await finish('a');
    last().answer([]);
    await clock.advance(0);
    expect(last().report).toMatchObject({ status: 'bot-terminating', leases: [] });
    last().answer([]);
    await clock.advance(0);
    expect(ended).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });

  it('stopped by force, kills what runs and ends', async () => {
    await connect([pending('a')]);
    stop.abort();
    await clock.advance(0);
    expect(running.get('a')?.signal.aborted).toBe(true);
    expect(ended).toBe(true);
    expect(clock.pendingTimers).toBe(0);
  });
});
