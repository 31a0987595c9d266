import { describe, expect, test } from 'vitest';
import type { BotReport } from '../domain/bot-session.ts';
import type { BotSessionStore, NewBotSession } from './bot-session-store.ts';

/** A store that a test has for itself, with a clock that the test moves. */
export interface BotSessionStoreFixture extends AsyncDisposable {
  readonly store: BotSessionStore;
  readonly advance: (milliseconds: number) => Promise<void>;
}

const signal = new AbortController().signal;

function reportOf(changes: Partial<BotReport> = {}): BotReport {
  return {
    health: 'ok',
    properties: [{ name: 'ISA', value: 'x86-64' }],
    capacity: 2,
    pollId: 'poll-1',
    replicaId: 'replica-1',
    ...changes,
  };
}

function sessionOf(name: string, botId: string, changes: Partial<NewBotSession> = {}): NewBotSession {
  return { ...reportOf(), name, botId, instanceName: 'main', lifetime: 60_000, ...changes };
}

/** The rules of BotSessionStore, for any implementation. */
export function describeBotSessionStore(name: string, create: () => Promise<BotSessionStoreFixture>): void {
  describe(`${name} as a BotSessionStore`, () => {
    test('a session is found as it was made', async () => {
      await using fixture = await create();
      const { session, replaced } = await fixture.store.create(sessionOf('main/1', 'bot-1'), signal);
      expect(replaced).toBeUndefined();
      expect(await fixture.store.get('main/1', signal)).toEqual(session);
      expect(session).toMatchObject({ botId: 'bot-1', leaseIds: [], capacity: 2, health: 'ok' });
      expect(session.expiresAt - session.createdAt).toBe(60_000);
    });

    test('a new session of a bot ends the one before, and hands over what leases that held', async () => {
      await using fixture = await create();
      await fixture.store.create(sessionOf('main/1', 'bot-1'), signal);
      await fixture.store.changeLeases('main/1', 'poll-1', ['lease-1'], [], signal);
      const { replaced } = await fixture.store.create(sessionOf('main/2', 'bot-1'), signal);
      expect(replaced).toMatchObject({ name: 'main/1', leaseIds: ['lease-1'] });
      expect(await fixture.store.touch('main/1', 'bot-1', reportOf(), 1_000, signal)).toEqual({
        kind: 'ended',
        end: 'replaced',
      });
      expect((await fixture.store.touch('main/2', 'bot-1', reportOf(), 1_000, signal)).kind).toBe('session');
    });

    test('bots of one id in two instances do not know of each other', async () => {
      await using fixture = await create();
      await fixture.store.create(sessionOf('main/1', 'bot-1'), signal);
      const { replaced } = await fixture.store.create(sessionOf('2', 'bot-1', { instanceName: '' }), signal);
      expect(replaced).toBeUndefined();
      expect((await fixture.store.list('main', 10, undefined, signal)).map((each) => each.name)).toEqual(['main/1']);
      expect(await fixture.store.list(undefined, 10, undefined, signal)).toHaveLength(2);
    });

    test('a call on a session that never was, or is of another bot, is told apart', async () => {
      await using fixture = await create();
      await fixture.store.create(sessionOf('main/1', 'bot-1'), signal);
      expect(await fixture.store.touch('main/9', 'bot-1', reportOf(), 1_000, signal)).toEqual({ kind: 'unknown' });
      expect(await fixture.store.touch('main/1', 'bot-2', reportOf(), 1_000, signal)).toEqual({ kind: 'other-bot' });
      expect(await fixture.store.get('main/1', signal)).toMatchObject({ botId: 'bot-1' });
    });

    test('a call renews the life and takes over what the bot reports', async () => {
      await using fixture = await create();
      await fixture.store.create(sessionOf('main/1', 'bot-1'), signal);
      await fixture.advance(50_000);
      const report = reportOf({ health: 'unhealthy', capacity: 7, pollId: 'poll-2', replicaId: 'replica-2' });
      const answer = await fixture.store.touch('main/1', 'bot-1', report, 60_000, signal);
      expect(answer).toMatchObject({ kind: 'session', session: report });
      expect(answer).toMatchObject({ before: { pollId: 'poll-1', replicaId: 'replica-1' } });
      await fixture.advance(50_000);
      expect(await fixture.store.expire(10, signal)).toEqual([]);
    });

    test('a call that has changed leases is held no longer', async () => {
      await using fixture = await create();
      const { store } = fixture;
      await store.create(sessionOf('main/1', 'bot-1'), signal);
      await store.changeLeases('main/1', 'poll-1', ['lease-1'], [], signal);
      const touch = (pollId: string) => store.touch('main/1', 'bot-1', reportOf({ pollId }), 60_000, signal);
      expect(await touch('poll-2')).toMatchObject({ before: undefined });
      expect(await touch('poll-3')).toMatchObject({ before: { pollId: 'poll-2', replicaId: 'replica-1' } });
      await store.changeLeases('main/1', 'poll-3', [], ['lease-1'], signal);
      expect(await touch('poll-4')).toMatchObject({ before: undefined });
    });

    test('a call that is held renews the life as long as it speaks for the bot', async () => {
      await using fixture = await create();
      const { session } = await fixture.store.create(sessionOf('main/1', 'bot-1'), signal);
      await fixture.advance(50_000);
      expect(await fixture.store.extend('main/1', 'poll-1', 60_000, signal)).toBe(session.createdAt + 110_000);
      expect(await fixture.store.get('main/1', signal)).toMatchObject({ expiresAt: session.createdAt + 110_000 });
      await fixture.advance(50_000);
      expect(await fixture.store.expire(10, signal)).toEqual([]);
      expect(await fixture.store.extend('main/1', 'poll-9', 60_000, signal)).toBeUndefined();
      expect(await fixture.store.extend('main/9', 'poll-1', 60_000, signal)).toBeUndefined();
      await fixture.advance(11_000);
      expect(await fixture.store.expire(10, signal)).toHaveLength(1);
      expect(await fixture.store.extend('main/1', 'poll-1', 60_000, signal)).toBeUndefined();
    });

    test('a session that has outlived its time is given to one caller, with its leases', async () => {
      await using fixture = await create();
      await fixture.store.create(sessionOf('main/1', 'bot-1'), signal);
      await fixture.store.changeLeases('main/1', 'poll-1', ['lease-1'], [], signal);
      await fixture.advance(61_000);
      const both = await Promise.all([fixture.store.expire(10, signal), fixture.store.expire(10, signal)]);
      expect(both.flat()).toMatchObject([{ name: 'main/1', leaseIds: ['lease-1'] }]);
      expect(await fixture.store.touch('main/1', 'bot-1', reportOf(), 1_000, signal)).toEqual({
        kind: 'ended',
        end: 'expired',
      });
    });

    test('leases are added only for the call that speaks for the bot, and only up to its capacity', async () => {
      await using fixture = await create();
      const { store } = fixture;
      await store.create(sessionOf('main/1', 'bot-1'), signal);
      expect(await store.changeLeases('main/1', 'poll-0', ['lease-1'], [], signal)).toBe(false);
      expect(await store.changeLeases('main/1', 'poll-1', ['lease-1', 'lease-2'], [], signal)).toBe(true);
      expect(await store.changeLeases('main/1', 'poll-1', ['lease-3'], [], signal)).toBe(false);
      expect(await store.changeLeases('main/1', 'poll-1', ['lease-3'], ['lease-1'], signal)).toBe(true);
      expect([...((await store.get('main/1', signal))?.leaseIds ?? [])].sort()).toEqual(['lease-2', 'lease-3']);
      expect(await store.changeLeases('main/9', 'poll-1', ['lease-1'], [], signal)).toBe(false);
    });

    test('of many leases at once only as many as fit are added', async () => {
      await using fixture = await create();
      await fixture.store.create(sessionOf('main/1', 'bot-1'), signal);
      const added = await Promise.all(
        Array.from({ length: 10 }, (_, i) => fixture.store.changeLeases('main/1', 'poll-1', [`l-${i}`], [], signal)),
      );
      expect(added.filter(Boolean)).toHaveLength(2);
    });

    test('a lease that is held already is added without taking more room', async () => {
      await using fixture = await create();
      await fixture.store.create(sessionOf('main/1', 'bot-1', { capacity: 1 }), signal);
      await fixture.store.changeLeases('main/1', 'poll-1', ['lease-1'], [], signal);
      expect(await fixture.store.changeLeases('main/1', 'poll-1', ['lease-1'], [], signal)).toBe(true);
    });

    test('offers are those of live bots, each once', async () => {
      await using fixture = await create();
      const { store } = fixture;
      const gpu = [{ name: 'Pool', value: 'gpu' }];
      await store.create(sessionOf('main/1', 'bot-1'), signal);
      await store.create(sessionOf('main/2', 'bot-2'), signal);
      await store.create(sessionOf('main/3', 'bot-3', { properties: gpu }), signal);
      await store.create(sessionOf('4', 'bot-4', { instanceName: '' }), signal);
      expect(await store.offers('main', signal)).toHaveLength(2);
      await store.touch('main/1', 'bot-1', reportOf({ properties: gpu }), 60_000, signal);
      expect(await store.offers('main', signal)).toHaveLength(2);
      await store.end('main/2', 'closed', signal);
      expect(await store.offers('main', signal)).toEqual([gpu]);
      expect(await store.offers('nowhere', signal)).toEqual([]);
    });

    test('sessions are listed in order of their names, in pages', async () => {
      await using fixture = await create();
      for (const n of [3, 1, 2]) await fixture.store.create(sessionOf(`main/${n}`, `bot-${n}`), signal);
      const first = await fixture.store.list('main', 2, undefined, signal);
      expect(first.map((each) => each.name)).toEqual(['main/1', 'main/2']);
      const rest = await fixture.store.list('main', 2, 'main/2', signal);
      expect(rest.map((each) => each.name)).toEqual(['main/3']);
    });

    test('drains are kept until they are taken back', async () => {
      await using fixture = await create();
      await fixture.store.addDrain({ pattern: 'bot-*', comment: 'new kernel' }, signal);
      await fixture.store.addDrain({ pattern: 'bot-*', comment: 'newer kernel' }, signal);
      expect(await fixture.store.drains(signal)).toEqual([{ pattern: 'bot-*', comment: 'newer kernel' }]);
      expect(await fixture.store.removeDrain('bot-*', signal)).toBe(true);
      expect(await fixture.store.removeDrain('bot-*', signal)).toBe(false);
      expect(await fixture.store.drains(signal)).toEqual([]);
    });
  });
}
