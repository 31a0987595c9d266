import { Counter, collectDefaultMetrics, Gauge, type GaugeConfiguration, Histogram, Registry } from 'prom-client';
import type { JobState } from '../domain/job.ts';
import { type StatusCode, statusCodeName } from '../domain/status-code.ts';

/** What there is to measure in a replica beside what it is told of as it happens. */
export interface MeasuredReplica {
  readonly version: string;
  readonly roles: readonly string[];
  /** Bytes of blobs stored now on this machine. */
  storedBytes(): number;
  /** The most that there may be of them; 0 where everything is on other servers. */
  readonly maximumBytes: number;
  /** Blobs that wait for a slow store that gets them later. */
  pendingBlobs(): number;
  /** Redis and RabbitMQ, where there are any. */
  readonly connections: readonly MeasuredConnection[];
}

export interface MeasuredConnection {
  /** `redis` or `rabbitmq`. */
  readonly name: string;
  /** Whether it can be used now. */
  ready(): boolean;
}

/** One finished call of a store of blobs. */
export interface MeasuredBlobCall {
  readonly operation: string;
  readonly code: StatusCode;
  readonly milliseconds: number;
  readonly blobs: number;
  readonly bytes: number;
}

/** One change of a job. */
export interface MeasuredJobEvent {
  readonly state: JobState;
  readonly attempts: number;
}

/** Seconds. Answers from memory take less than a millisecond, long polls and streams minutes. */
const CALL_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const BLOB_BUCKETS = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30];

/**
 * What a replica measures of itself, for Prometheus. docs/operating.md lists the names, which do not change.
 *
 * Counts what it hears of, and looks at the rest when it is asked.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly #calls: Counter;
  readonly #callSeconds: Histogram;
  readonly #running: Gauge;
  readonly #lookups: Counter;
  readonly #jobChanges: Counter;
  readonly #attempts: Counter;
  readonly #retries: Counter;
  readonly #deadLetters: Counter;
  readonly #blobCalls: Counter;
  readonly #blobSeconds: Histogram;
  readonly #blobBytes: Counter;
  readonly #evictedBlobs: Counter;
  readonly #evictedBytes: Counter;
  readonly #assets: Counter;
  readonly #logBytes: Counter;
  #hits = 0;
  #misses = 0;

  constructor() {
    const registers = [this.registry];
    const counter = (name: string, help: string, labelNames: readonly string[] = []) =>
      new Counter({ name, help, labelNames: [...labelNames], registers });
    this.#calls = counter('warren_calls_total', 'gRPC calls that ended', ['method', 'code']);
    this.#callSeconds = new Histogram({
      name: 'warren_call_duration_seconds',
      help: 'Time from the headers of a gRPC call to its status; streams and long polls are as long as they last',
      labelNames: ['method'],
      buckets: CALL_BUCKETS,
      registers,
    });
    this.#running = new Gauge({ name: 'warren_calls_running', help: 'gRPC calls that are being answered', registers });
    this.#lookups = counter('warren_action_cache_lookups_total', 'Looks into the action cache', ['result']);
    this.#jobChanges = counter('warren_job_changes_total', 'Changes of jobs, by the state that they led to', ['state']);
    this.#attempts = counter('warren_job_attempts_total', 'Leases given to bots');
    this.#retries = counter('warren_job_retries_total', 'Jobs that went back to their queue after a failed attempt');
    this.#deadLetters = counter('warren_dead_letters_total', 'Jobs given up for want of attempts or of a bot');
    this.#blobCalls = counter('warren_blob_calls_total', 'Calls of the store of blobs', ['operation', 'code']);
    this.#blobSeconds = new Histogram({
      name: 'warren_blob_call_duration_seconds',
      help: 'Time that calls of the store of blobs took',
      labelNames: ['operation'],
      buckets: BLOB_BUCKETS,
      registers,
    });
    this.#blobBytes = counter('warren_blob_bytes_total', 'Bytes of blobs that went in and out', ['operation']);
    this.#evictedBlobs = counter('warren_storage_evicted_blobs_total', 'Blobs that made room for others');
    this.#evictedBytes = counter('warren_storage_evicted_bytes_total', 'Bytes of those');
    this.#assets = counter('warren_asset_fetches_total', 'Assets that clients asked for', ['kind', 'outcome']);
    this.#logBytes = counter('warren_log_stream_bytes_total', 'Bytes of log streams that went in and out', [
      'operation',
    ]);
  }

  get cacheHits(): number {
    return this.#hits;
  }

  get cacheLookups(): number {
    return this.#hits + this.#misses;
  }

  /** Adds what is looked at when it is asked for: the process itself, its storage and its connections. */
  watch(replica: MeasuredReplica): void {
    const gauge = (options: Omit<GaugeConfiguration<string>, 'registers'>) =>
      new Gauge({ ...options, registers: [this.registry] });
    collectDefaultMetrics({ register: this.registry });
    gauge({
      name: 'warren_build_info',
      help: 'Always 1; the labels say what runs',
      labelNames: ['version', 'roles'],
      aggregator: 'first',
    }).set({ version: replica.version, roles: replica.roles.join(',') }, 1);
    gauge({
      name: 'warren_storage_bytes',
      help: 'Bytes of blobs stored on this machine',
      collect() {
        this.set(replica.storedBytes());
      },
    });
    gauge({
      name: 'warren_storage_limit_bytes',
      help: 'The most that there may be of them; 0 where everything is on other servers',
      collect() {
        this.set(replica.maximumBytes);
      },
    });
    gauge({
      name: 'warren_storage_pending_blobs',
      help: 'Blobs that wait for the slow store of a write-back tiered',
      collect() {
        this.set(replica.pendingBlobs());
      },
    });
    gauge({
      name: 'warren_connection_up',
      help: 'Whether Redis and RabbitMQ can be used now; of several processes, by all of them',
      labelNames: ['service'],
      aggregator: 'min',
      collect() {
        for (const each of replica.connections) this.set({ service: each.name }, each.ready() ? 1 : 0);
      },
    });
  }

  /** @returns what to call when the call has ended. */
  callStarted(path: string): (outcome: { readonly code: StatusCode; readonly milliseconds: number }) => void {
    const method = path.slice(1);
    this.#running.inc();
    return ({ code, milliseconds }) => {
      this.#running.dec();
      this.#calls.inc({ method, code: statusCodeName(code) });
      this.#callSeconds.observe({ method }, milliseconds / 1_000);
    };
  }

  actionCacheLookup(hit: boolean): void {
    if (hit) this.#hits += 1;
    else this.#misses += 1;
    this.#lookups.inc({ result: hit ? 'hit' : 'miss' });
  }

  jobChanged({ state, attempts }: MeasuredJobEvent): void {
    this.#jobChanges.inc({ state });
    if (state === 'leased') this.#attempts.inc();
    if (state === 'queued' && attempts > 0) this.#retries.inc();
  }

  deadLettered(): void {
    this.#deadLetters.inc();
  }

  blobCalled({ operation, code, milliseconds, bytes }: MeasuredBlobCall): void {
    this.#blobCalls.inc({ operation, code: statusCodeName(code) });
    this.#blobSeconds.observe({ operation }, milliseconds / 1_000);
    this.#blobBytes.inc({ operation }, bytes);
  }

  blobsEvicted(blobs: number, bytes: number): void {
    this.#evictedBlobs.inc(blobs);
    this.#evictedBytes.inc(bytes);
  }

  assetFetched(kind: string, outcome: string): void {
    this.#assets.inc({ kind, outcome });
  }

  logStreamMoved(operation: string, bytes: number): void {
    this.#logBytes.inc({ operation }, bytes);
  }
}
