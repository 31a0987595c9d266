import assert from 'node:assert/strict';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { InProcessBotSessionStore } from '../../src/adapters/state/in-process/in-process-bot-session-store.ts';
import { RedisBotSessionStore } from '../../src/adapters/state/redis/redis-bot-session-store.ts';
import type { RedisConnection } from '../../src/adapters/state/redis/redis-connection.ts';
import type { BotReport, BotSession } from '../../src/domain/bot-session.ts';
import { FakeClock } from '../../src/lib/fake-clock.ts';
import type { BotSessionStore } from '../../src/ports/bot-session-store.ts';
import { connectToRedis } from '../support/redis-connection.ts';
import { RedisServer } from '../support/redis-server.ts';

const signal = new AbortController().signal;
const INSTANCES = ['', 'team/a.b', 'wild {x}'];
const bot = fc.constantFrom('bot-1', 'ünï {1}', 'a\nb');
const index = fc.nat({ max: 7 });
const milliseconds = fc.constantFrom(1, 20_000, 61_000);
const leaseIds = fc.subarray(['lease-1', 'lease-2', 'lease-3', 'lease-4']);
const report: fc.Arbitrary<BotReport> = fc.record({
  health: fc.constantFrom('ok', 'unhealthy', 'terminating'),
  properties: fc.subarray([
    { name: 'ISA', value: 'x86-64' },
    { name: 'ISA', value: 'ünï;=%' },
    { name: 'Pool', value: 'gpu' },
  ]),
  capacity: fc.integer({ min: 1, max: 3 }),
  pollId: fc.constantFrom('poll-1', 'poll-2'),
  replicaId: fc.constantFrom('replica-1', 'replica-2'),
});

type Step =
  | { readonly kind: 'create'; readonly instance: number; readonly bot: string; readonly report: BotReport }
  | { readonly kind: 'touch'; readonly session: number; readonly bot: string | undefined; readonly report: BotReport }
  | {
      readonly kind: 'leases';
      readonly session: number;
      readonly pollId: string;
      readonly add: readonly string[];
      readonly remove: readonly string[];
    }
  | { readonly kind: 'extend'; readonly session: number; readonly pollId: string }
  | { readonly kind: 'end'; readonly session: number }
  | { readonly kind: 'pass'; readonly milliseconds: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({ kind: fc.constant('create' as const), instance: fc.nat({ max: 2 }), bot, report }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('touch' as const),
      session: index,
      bot: fc.option(bot, { nil: undefined, freq: 1 }),
      report,
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('leases' as const),
      session: index,
      pollId: fc.constantFrom('poll-1', 'poll-2'),
      add: leaseIds,
      remove: leaseIds,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('extend' as const),
      session: index,
      pollId: fc.constantFrom('poll-1', 'poll-2'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('end' as const), session: index }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('pass' as const), milliseconds }) },
);

let server: RedisServer;
let connection: RedisConnection;
let runs = 0;

beforeAll(async () => {
  server = await RedisServer.start();
  connection = await connectToRedis(server.port);
});

afterAll(async () => {
  await connection.stop();
  await server[Symbol.asyncDispose]();
});

/** Both stores, given the same calls; what they answer must be equal. */
class TwoStores {
  readonly clock = new FakeClock();
  readonly names: string[] = [];
  readonly bots = new Map<string, string>();
  readonly #inProcess = new InProcessBotSessionStore({ clock: this.clock });
  readonly #redis: BotSessionStore;

  constructor() {
    runs += 1;
    this.#redis = new RedisBotSessionStore({
      connection,
      keyPrefix: `run-${runs}:`,
      maxSessions: 1_000,
      clock: this.clock,
      now: () => this.clock.now(),
    });
  }

  name(session: number): string {
    return this.names[session % Math.max(1, this.names.length)] ?? 'nobody';
  }

  async both<T>(call: (store: BotSessionStore) => Promise<T>): Promise<void> {
    const expected = await call(this.#inProcess);
    assert.deepEqual(await call(this.#redis), expected);
  }
}

const LIFETIME = 60_000;

async function take(stores: TwoStores, each: Step): Promise<void> {
  switch (each.kind) {
    case 'create': {
      const instanceName = INSTANCES[each.instance] ?? '';
      const name = `${instanceName === '' ? '' : `${instanceName}/`}${stores.names.length}`;
      const made = { ...each.report, name, botId: each.bot, instanceName, lifetime: LIFETIME };
      await stores.both((store) => store.create(made, signal));
      stores.names.push(name);
      stores.bots.set(name, each.bot);
      break;
    }
    case 'touch': {
      const name = stores.name(each.session);
      const botId = each.bot ?? stores.bots.get(name) ?? '';
      await stores.both((store) => store.touch(name, botId, each.report, LIFETIME, signal));
      break;
    }
    case 'leases': {
      const name = stores.name(each.session);
      await stores.both((store) => store.changeLeases(name, each.pollId, each.add, each.remove, signal));
      await stores.both((store) => store.get(name, signal));
      break;
    }
    case 'extend':
      await stores.both((store) => store.extend(stores.name(each.session), each.pollId, LIFETIME, signal));
      break;
    case 'end':
      await stores.both((store) => store.end(stores.name(each.session), 'closed', signal));
      break;
    case 'pass':
      await stores.clock.advance(each.milliseconds);
      await stores.both(async (store) => byName(await store.expire(1_000, signal)));
      break;
  }
}

function byName(sessions: readonly BotSession[]): readonly BotSession[] {
  return [...sessions].sort((a, b) => (a.name < b.name ? -1 : 1));
}

test('the store in Redis and the one in the process answer every call of a random history alike', async () => {
  const property = fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 50 }), async (steps) => {
    const stores = new TwoStores();
    for (const each of steps) await take(stores, each);
    await stores.both((store) => store.list(undefined, 1_000, undefined, signal));
    for (const instance of INSTANCES) {
      await stores.both((store) => store.list(instance, 2, undefined, signal));
      // Of equal offers either may be the one that is kept, and their order tells nothing.
      await stores.both(async (store) =>
        (await store.offers(instance, signal)).map((each) => JSON.stringify(each)).sort(),
      );
    }
  });
  await expect(fc.assert(property, { numRuns: 100 })).resolves.toBeUndefined();
}, 60_000);
