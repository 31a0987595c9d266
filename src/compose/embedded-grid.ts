import type { GridConfiguration } from '../config/replica-configuration.ts';
import type { WorkerConfiguration } from '../config/worker-schema.ts';
import { type Service, ServiceGroup } from '../lib/lifecycle.ts';
import type { JobCounts } from '../ports/job-store.ts';
import { Activity } from './activity.ts';
import { composeReplica, type ReplicaDependencies } from './replica.ts';
import { type ProgramCommand, WorkerProcess } from './worker-process.ts';

/** The embedded grid, ready to be started. */
export interface EmbeddedGrid extends Service {
  /** What it listens on, once started. */
  readonly port: number;
  /** Where its console listens, once started; undefined where there is none. */
  readonly consolePort: number | undefined;
  readonly activity: Activity;
  storedBytes(): number;
  readonly maximumBytes: number;
  countJobs(signal: AbortSignal): Promise<JobCounts>;
}

/**
 * All roles in this process, and a worker in one beside it.
 *
 * Stopping it drains the worker first, while the server still takes its results.
 *
 * @param program starts this program once more, for the worker.
 * @throws DirectoryLockedError when another process has one of the folders.
 */
export async function composeEmbeddedGrid(
  configuration: GridConfiguration,
  program: ProgramCommand,
  dependencies: Omit<ReplicaDependencies, 'observer'>,
  signal: AbortSignal,
): Promise<EmbeddedGrid> {
  const { clock, logger } = dependencies;
  const activity = new Activity();
  const { worker, ...replicaConfiguration } = configuration;
  const replica = await composeReplica(replicaConfiguration, { ...dependencies, observer: activity }, signal);
  const workerConfiguration = (): WorkerConfiguration => ({
    ...worker,
    remote: `grpc://${hostToReach(configuration.server.listen)}:${replica.port}`,
    drainSeconds: configuration.server.drainSeconds,
  });
  const services: Service[] = [replica];
  if (worker.slots > 0) services.push(new WorkerProcess(program, workerConfiguration, clock, logger));
  const group = new ServiceGroup('grid', services);
  return {
    name: group.name,
    async start(signal) {
      try {
        await group.start(signal);
      } catch (cause) {
        // The storage is open from composition on, whether the replica has started or not.
        await replica.stop(AbortSignal.abort());
        throw cause;
      }
    },
    stop: (force) => group.stop(force),
    get port() {
      return replica.port;
    },
    get consolePort() {
      return replica.consolePort;
    },
    activity,
    storedBytes: () => replica.storedBytes(),
    maximumBytes: replica.maximumBytes,
    countJobs: (signal) => replica.countJobs(signal),
  };
}

/** Who listens everywhere is reached by loopback. */
function hostToReach(listen: string): string {
  const host = listen.slice(0, listen.lastIndexOf(':'));
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '[::]' ? '[::1]' : host;
}
