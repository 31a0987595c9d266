import { AggregatorRegistry, type MetricObjectWithValues, type MetricValue } from 'prom-client';
import type { Clock } from '../lib/clock.ts';
import { Deferred } from '../lib/deferred.ts';
import { isMessage, type PeerProcess } from '../lib/peer-process.ts';

/** The metrics of one process, as the client library writes them for others. */
export type ProcessMetrics = ReadonlyArray<MetricObjectWithValues<MetricValue<string>>>;

/** A process asks the primary for the metrics of all. */
export interface AllMetricsWanted {
  readonly kind: 'all-metrics-wanted';
  readonly id: number;
}

/** The primary asks each process for its own. */
export interface MetricsWanted {
  readonly kind: 'metrics-wanted';
  readonly id: number;
}

/** The answer to that. */
export interface MetricsAnswer {
  readonly kind: 'metrics';
  readonly id: number;
  readonly metrics: ProcessMetrics;
}

/** The answer of the primary. */
export interface AllMetricsAnswer {
  readonly kind: 'all-metrics';
  readonly id: number;
  readonly metrics: readonly ProcessMetrics[];
}

/** How long the others may take, in milliseconds; the answer is then without them. */
export const METRICS_PATIENCE_MS = 3_000;

/**
 * Metrics of all processes that share a port: whichever of them is asked answers for all, or Prometheus would see the
 * counters of one and then of another.
 */
export class MetricsExchange {
  readonly #primary: PeerProcess;
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Deferred<readonly ProcessMetrics[]>>();
  #own: () => Promise<ProcessMetrics> = async () => [];
  #last = 0;

  constructor(primary: PeerProcess, clock: Clock) {
    this.#primary = primary;
    this.#clock = clock;
    primary.onMessage((message) => {
      if (isMessage(message, 'metrics-wanted')) void this.#answer((message as MetricsWanted).id);
      if (!isMessage(message, 'all-metrics')) return;
      const { id, metrics } = message as AllMetricsAnswer;
      this.#waiting.get(id)?.resolve(metrics);
    });
  }

  /** Says what the metrics of this process are. */
  provide(own: () => Promise<ProcessMetrics>): void {
    this.#own = own;
  }

  /** The metrics of all processes together, as Prometheus reads them. */
  async all(): Promise<string> {
    this.#last += 1;
    const id = this.#last;
    const answer = new Deferred<readonly ProcessMetrics[]>();
    this.#waiting.set(id, answer);
    // The primary waits for the others; should it not answer at all, what this process knows is better than nothing.
    const timer = this.#clock.setTimer(2 * METRICS_PATIENCE_MS, () => {
      this.#own().then((own) => answer.resolve([own]), answer.reject);
    });
    try {
      this.#primary.send({ kind: 'all-metrics-wanted', id } satisfies AllMetricsWanted);
      return await AggregatorRegistry.aggregate((await answer.promise).map((each) => [...each])).metrics();
    } finally {
      timer.cancel();
      this.#waiting.delete(id);
    }
  }

  async #answer(id: number): Promise<void> {
    const metrics = await this.#own().catch(() => []);
    this.#primary.send({ kind: 'metrics', id, metrics } satisfies MetricsAnswer);
  }
}
