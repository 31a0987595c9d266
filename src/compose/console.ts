import { hostname } from 'node:os';
import type { ConsoleConfiguration } from '../config/console-schema.ts';
import type { Role } from '../config/replica-configuration.ts';
import { consoleApp } from '../console/console-app.ts';
import { ConsoleServer } from '../console/console-server.ts';
import { addFarmMetrics } from '../console/farm-metrics.ts';
import { FarmWatch } from '../console/farm-watch.ts';
import type { Metrics } from '../console/metrics.ts';
import type { PageFacts } from '../console/page.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { VERSION } from '../lib/version.ts';
import type { Scheduler } from '../scheduling/scheduler.ts';
import type { MetricsExchange } from './metrics-exchange.ts';
import type { Connection } from './scheduling.ts';

/** What the console of a replica stands on. */
export interface ConsoleDependencies {
  readonly roles: readonly Role[];
  readonly scheduler: Scheduler;
  readonly storage: { storedBytes(): number; pendingBlobs(): number; readonly maximumBytes: number };
  readonly connections: readonly Connection[];
  readonly metrics: Metrics;
  /** With the processes that share a port with this one, where there are any. */
  readonly exchange: MetricsExchange | undefined;
  readonly isReady: () => boolean;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The console of one replica: health and metrics, and the pages for people where the replica has the role. */
export function composeConsole(configuration: ConsoleConfiguration, dependencies: ConsoleDependencies): ConsoleServer {
  const { roles, scheduler, storage, connections, metrics, exchange, isReady, clock } = dependencies;
  const logger = dependencies.logger.child({ component: 'console' });
  metrics.watch({
    version: VERSION,
    roles,
    storedBytes: () => storage.storedBytes(),
    maximumBytes: storage.maximumBytes,
    pendingBlobs: () => storage.pendingBlobs(),
    connections,
  });
  const watch = new FarmWatch(scheduler, clock);
  const hasPages = roles.includes('console');
  if (hasPages) addFarmMetrics(metrics.registry, watch, clock, logger);
  exchange?.provide(() => metrics.registry.getMetricsAsJSON());
  const facts = (): PageFacts => ({
    version: VERSION,
    host: hostname(),
    roles,
    connections: connections.map((each) => ({ name: each.name, ready: each.ready() })),
    storedBytes: storage.storedBytes(),
    maximumBytes: storage.maximumBytes,
    cacheHits: metrics.cacheHits,
    cacheLookups: metrics.cacheLookups,
    allowsChanges: configuration.allowChanges,
  });
  const app = consoleApp({
    isReady,
    connections,
    metrics: () => exchange?.all() ?? metrics.registry.metrics(),
    metricsType: metrics.registry.contentType,
    pages: hasPages ? { watch, scheduler, facts, hostNames: configuration.hostNames } : undefined,
    logger,
  });
  return new ConsoleServer(configuration.listen, app);
}
