import type { Hono } from 'hono';
import { beforeEach, describe, expect, test } from 'vitest';
import { InProcessBroker } from '../adapters/broker/in-process/in-process-broker.ts';
import { InProcessBotSessionStore } from '../adapters/state/in-process/in-process-bot-session-store.ts';
import { InProcessJobStore } from '../adapters/state/in-process/in-process-job-store.ts';
import { createRequirement } from '../domain/platform.ts';
import { unavailable } from '../domain/status-error.ts';
import type { WorkMessage } from '../domain/work.ts';
import { FakeClock } from '../lib/fake-clock.ts';
import { silentLogger } from '../lib/log.ts';
import { submissionOf } from '../ports/job-store.suite.ts';
import { consoleApp } from './console-app.ts';
import { addFarmMetrics } from './farm-metrics.ts';
import { FarmWatch } from './farm-watch.ts';
import { Metrics } from './metrics.ts';

const signal = new AbortController().signal;
const HOSTILE = `<script>alert('1')</script>"><img src=x onerror=alert(2)>`;
const OWN = { Host: '127.0.0.1:50052', Origin: 'http://127.0.0.1:50052' };

class Farm {
  readonly clock = new FakeClock();
  readonly jobs = new InProcessJobStore({ clock: this.clock });
  readonly sessions = new InProcessBotSessionStore({ clock: this.clock });
  readonly broker = new InProcessBroker();
  readonly watch = new FarmWatch(this, this.clock);
  readonly metrics = new Metrics();
  isReady = true;
  isRedisUp = true;

  app(options: { readonly allowsChanges?: boolean; readonly pages?: boolean } = {}): Hono {
    const { allowsChanges = false, pages = true } = options;
    const { watch, metrics } = this;
    addFarmMetrics(metrics.registry, watch, this.clock, silentLogger);
    const facts = () => ({
      version: '1.2.3',
      host: 'here',
      roles: ['console'],
      connections: [{ name: 'redis', ready: this.isRedisUp }],
      storedBytes: 2048,
      maximumBytes: 4096,
      cacheHits: 1,
      cacheLookups: 4,
      allowsChanges,
    });
    return consoleApp({
      isReady: () => this.isReady,
      connections: [{ name: 'redis', ready: () => this.isRedisUp }],
      metrics: () => metrics.registry.metrics(),
      metricsType: metrics.registry.contentType,
      pages: pages ? { watch, scheduler: this, facts, hostNames: ['console.example'] } : undefined,
      logger: silentLogger,
    });
  }

  /** Everything that others name, named as badly as can be. */
  async fillWithHostileNames(): Promise<void> {
    const requirement = createRequirement([{ name: HOSTILE, value: HOSTILE }]);
    const submission = submissionOf({ requirement, instanceName: HOSTILE });
    const requestMetadata = {
      toolName: HOSTILE,
      toolVersion: HOSTILE,
      actionId: HOSTILE,
      toolInvocationId: HOSTILE,
      correlatedInvocationsId: HOSTILE,
      actionMnemonic: HOSTILE,
      targetId: HOSTILE,
      configurationId: HOSTILE,
    };
    const { effects } = await this.jobs.submit(
      { ...submission, operation: { ...submission.operation, requestMetadata } },
      signal,
    );
    const offer = effects.find((each) => each.type === 'offer') as { readonly work: WorkMessage };
    await this.broker.offerWork(offer.work, signal);
    const ended = submissionOf({ doNotCache: true, instanceName: HOSTILE });
    await this.jobs.submit(ended, signal);
    await this.jobs.apply(ended.jobId, { type: 'cancel', reason: HOSTILE }, signal);
    await this.addBot(HOSTILE);
  }

  async addBot(botId: string): Promise<void> {
    const name = `session of ${botId}`;
    const report = { health: 'ok', capacity: 2, pollId: 'poll', replicaId: 'replica' } as const;
    const properties = [{ name: 'OSFamily', value: botId }];
    const session = { ...report, properties, name, botId, instanceName: 'main', lifetime: 60_000 };
    await this.sessions.create(session, signal);
  }

  async addQueue(): Promise<void> {
    const { effects } = await this.jobs.submit(submissionOf(), signal);
    const offer = effects.find((each) => each.type === 'offer') as { readonly work: WorkMessage };
    await this.broker.offerWork(offer.work, signal);
  }
}

let farm: Farm;

beforeEach(() => {
  farm = new Farm();
});

function get(app: Hono, path: string, headers: Readonly<Record<string, string>> = OWN): Promise<Response> {
  return Promise.resolve(app.request(path, { headers }));
}

function post(
  app: Hono,
  path: string,
  fields: Readonly<Record<string, string>>,
  headers: Readonly<Record<string, string>> = OWN,
): Promise<Response> {
  return Promise.resolve(app.request(path, { method: 'POST', headers, body: new URLSearchParams(fields) }));
}

describe('the page', () => {
  test('shows what waits and why, and who is there', async () => {
    await farm.addQueue();
    await farm.addBot('bot-7');
    const text = await (await get(farm.app(), '/')).text();
    expect(text).toContain('bot-7');
    expect(text).toContain('it is being handed out');
    expect(text).toContain('2.0 KiB');
    expect(text).toContain('25 %');
  });

  test('runs nothing that a client, a bot or a message names', async () => {
    await farm.fillWithHostileNames();
    const app = farm.app({ allowsChanges: true });
    for (const path of ['/', '/view']) {
      const response = await get(app, path);
      const text = await response.text();
      expect(text).toContain('&lt;script&gt;');
      expect(text).not.toContain('<script>alert');
      expect(text).not.toMatch(/<img/);
      expect(response.headers.get('Content-Security-Policy')).toContain("default-src 'none'");
    }
  });

  test('is shown under addresses and configured names alone', async () => {
    const app = farm.app();
    expect((await get(app, '/', { Host: 'console.example' })).status).toBe(200);
    expect((await get(app, '/', { Host: 'attacker.example' })).status).toBe(421);
    expect((await get(app, '/metrics', { Host: 'attacker.example' })).status).toBe(200);
  });

  test('says what is wrong when the farm cannot be read', async () => {
    farm.jobs.count = async () => {
      throw unavailable('Redis is away', 100);
    };
    const response = await get(farm.app(), '/view');
    expect(response.status).toBe(200);
    expect(await response.text()).toContain('Redis is away');
  });

  test('is not there without the role', async () => {
    expect((await get(farm.app({ pages: false }), '/')).status).toBe(404);
  });
});

describe('changes', () => {
  const pause = { instance: 'main', requirement: '', paused: 'true' };

  test('are refused unless configured', async () => {
    await farm.addQueue();
    expect((await post(farm.app(), '/queues/pause', pause)).status).toBe(403);
    expect((await farm.broker.queues(signal))[0]?.paused).toBe(false);
  });

  test.each([
    { Host: '127.0.0.1:50052' },
    { Host: '127.0.0.1:50052', Origin: 'http://attacker.example' },
    { Host: 'attacker.example', Origin: 'http://attacker.example' },
    { ...OWN, 'Sec-Fetch-Site': 'cross-site' },
  ])('are refused from a page that is not ours: %o', async (headers) => {
    await farm.addQueue();
    const { status } = await post(farm.app({ allowsChanges: true }), '/queues/pause', pause, headers);
    expect([403, 421]).toContain(status);
    expect((await farm.broker.queues(signal))[0]?.paused).toBe(false);
  });

  test('pause a queue and let it go on', async () => {
    await farm.addQueue();
    const app = farm.app({ allowsChanges: true });
    expect((await post(app, '/queues/pause', pause)).status).toBe(303);
    expect((await farm.broker.queues(signal))[0]?.paused).toBe(true);
    expect(await (await get(app, '/')).text()).toContain('Go on');
    await post(app, '/queues/pause', { ...pause, paused: 'false' });
    expect((await farm.broker.queues(signal))[0]?.paused).toBe(false);
  });

  test.each([
    ['a queue that there is not', '/queues/pause', { ...pause, requirement: 'ISA=none' }],
    ['a requirement that is none', '/queues/pause', { ...pause, requirement: '=' }],
    ['a missing field', '/queues/pause', { instance: 'main', requirement: '' }],
    ['neither true nor false', '/queues/pause', { ...pause, paused: 'yes' }],
    ['a pattern that drains others', '/bots/drain', { bot: 'bot-*', drained: 'true' }],
    ['an endless name', '/bots/drain', { bot: 'b'.repeat(5_000), drained: 'true' }],
  ])('of %s are refused, and change nothing', async (_what, path, fields) => {
    await farm.addQueue();
    expect((await post(farm.app({ allowsChanges: true }), path, fields)).status).toBe(400);
    expect(await farm.broker.queues(signal)).toMatchObject([{ paused: false }]);
    expect(await farm.sessions.drains(signal)).toEqual([]);
  });

  test('drain a bot and let it work', async () => {
    await farm.addBot('bot-7');
    const app = farm.app({ allowsChanges: true });
    await post(app, '/bots/drain', { bot: 'bot-7', drained: 'true' });
    expect(await farm.sessions.drains(signal)).toMatchObject([{ pattern: 'bot-7' }]);
    expect(await (await get(app, '/')).text()).toContain('Let work');
    await post(app, '/bots/drain', { bot: 'bot-7', drained: 'false' });
    expect(await farm.sessions.drains(signal)).toEqual([]);
  });

  test('larger than a form are refused', async () => {
    const body = { instance: 'x'.repeat(100_000), requirement: '', paused: 'true' };
    expect((await post(farm.app({ allowsChanges: true }), '/queues/pause', body)).status).toBe(413);
  });
});

describe('probes', () => {
  test('a replica that drains is alive and not ready; one without Redis says so and stays', async () => {
    const app = farm.app();
    farm.isRedisUp = false;
    const ready = await get(app, '/readyz', {});
    expect([ready.status, await ready.json()]).toEqual([200, { ready: true, connections: { redis: false } }]);
    farm.isReady = false;
    expect((await get(app, '/readyz', {})).status).toBe(503);
    expect((await get(app, '/healthz', {})).status).toBe(200);
  });
});

describe('metrics', () => {
  test('tell of calls, jobs, queues and bots', async () => {
    await farm.addQueue();
    await farm.addBot('bot-7');
    await farm.clock.advance(3_000);
    const { metrics } = farm;
    metrics.callStarted('/google.bytestream.ByteStream/Read')({ code: 5, milliseconds: 30 });
    metrics.actionCacheLookup(true);
    metrics.jobChanged({ state: 'leased', attempts: 1 });
    metrics.jobChanged({ state: 'queued', attempts: 1 });
    const text = await (await get(farm.app(), '/metrics', {})).text();
    for (const line of [
      'warren_calls_total{method="google.bytestream.ByteStream/Read",code="NOT_FOUND"} 1',
      'warren_call_duration_seconds_bucket{le="0.05",method="google.bytestream.ByteStream/Read"} 1',
      'warren_action_cache_lookups_total{result="hit"} 1',
      'warren_job_attempts_total 1',
      'warren_job_retries_total 1',
      'warren_jobs{state="queued"} 1',
      'warren_queue_waiting_jobs{instance="main",requirement=""} 1',
      'warren_queue_oldest_seconds{instance="main",requirement=""} 3',
      'warren_bots{health="ok",drained="false"} 1',
      'warren_bot_slots 2',
    ]) {
      expect(text.split('\n')).toContain(line);
    }
  });

  test('without those of the farm where it cannot be read', async () => {
    farm.metrics.actionCacheLookup(false);
    farm.broker.queues = async () => {
      throw unavailable('RabbitMQ is away', 100);
    };
    const response = await get(farm.app(), '/metrics', {});
    const text = await response.text();
    expect(response.status).toBe(200);
    expect(text).toContain('warren_action_cache_lookups_total{result="miss"} 1');
    expect(text).not.toContain('warren_jobs{');
  });
});

describe('the farm', () => {
  test('is read once for all who ask, and rests ten times as long as a reading takes', async () => {
    let readings = 0;
    const count = farm.jobs.count.bind(farm.jobs);
    farm.jobs.count = async (...args) => {
      readings += 1;
      await farm.clock.advance(500);
      return count(...args);
    };
    await Promise.all([farm.watch.figures(), farm.watch.figures()]);
    expect(readings).toBe(1);
    await farm.clock.advance(4_000);
    await farm.watch.figures();
    expect(readings).toBe(1);
    await farm.clock.advance(1_100);
    await farm.watch.figures();
    expect(readings).toBe(2);
  });
});
