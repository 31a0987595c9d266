import { describe, expect, it } from 'vitest';
import { StatusCode } from '../domain/status-code.ts';
import type { CallContext } from '../ports/call-context.ts';
import { HealthCheckResponse_ServingStatus as ServingStatus } from '../proto/grpc/health/v1/health.ts';
import { Health } from './health.ts';

function createContext() {
  const signal = new AbortController();
  const draining = new AbortController();
  const context = { signal: signal.signal, draining: draining.signal } as CallContext;
  return { context, abort: () => signal.abort(), drain: () => draining.abort() };
}

describe('Health', () => {
  it('is NOT_SERVING before the start and during the drain, SERVING between, for the whole and each service', async () => {
    const health = new Health(['a.B']);
    const states = async () => [await health.check({ service: '' }), await health.check({ service: 'a.B' })];
    expect(await states()).toEqual([{ status: ServingStatus.NOT_SERVING }, { status: ServingStatus.NOT_SERVING }]);
    health.serve();
    expect(await states()).toEqual([{ status: ServingStatus.SERVING }, { status: ServingStatus.SERVING }]);
    expect(Object.keys((await health.list()).statuses)).toEqual(['', 'a.B']);
    health.drain();
    expect(await states()).toEqual([{ status: ServingStatus.NOT_SERVING }, { status: ServingStatus.NOT_SERVING }]);
  });

  it('answers NOT_FOUND for a service that is not served', async () => {
    await expect(new Health([]).check({ service: 'x' })).rejects.toMatchObject({ code: StatusCode.NOT_FOUND });
  });

  it('tells watchers of each change, and lets them go when the replica drains', async () => {
    const health = new Health([]);
    const { context, drain } = createContext();
    const seen: ServingStatus[] = [];
    const watching = (async () => {
      for await (const { status } of health.watch({ service: '' }, context)) seen.push(status);
    })();
    await new Promise((resolve) => setImmediate(resolve));
    health.serve();
    await new Promise((resolve) => setImmediate(resolve));
    health.drain();
    drain();
    await watching;
    expect(seen).toEqual([ServingStatus.NOT_SERVING, ServingStatus.SERVING, ServingStatus.NOT_SERVING]);
  });

  it('ends a watch whose client goes', async () => {
    const { context, abort } = createContext();
    const watch = new Health([]).watch({ service: 'x' }, context)[Symbol.asyncIterator]();
    expect(await watch.next()).toEqual({ done: false, value: { status: ServingStatus.SERVICE_UNKNOWN } });
    const next = watch.next();
    abort();
    await expect(next).rejects.toThrow('aborted');
  });
});
