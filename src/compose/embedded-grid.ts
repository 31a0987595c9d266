import type { GridConfiguration } from '../config/replica-configuration.ts';
import type { WorkerConfiguration } from '../config/worker-schema.ts';
import { type Service, ServiceGroup } from '../lib/lifecycle.ts';
import type { JobCounts } from '../ports/job-store.ts';
import { Activity } from './activity.ts';
import { composeReplica, type Replica, type ReplicaDependencies } from './replica.ts';
import { PrivateSocket } from './server-tls.ts';
import { type ProgramCommand, WorkerProcess } from './worker-process.ts';

/** The embedded grid, ready to be started. */
export interface EmbeddedGrid extends Service {
  /** What it listens on, once started. */
  readonly port: number;
  /** Where its console listens, once started; undefined where there is none. */
  readonly consolePort: number | undefined;
  /** Whether clients must speak TLS. */
  readonly isEncrypted: boolean;
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
  const isEncrypted = configuration.server.tls !== undefined;
  const socket = isEncrypted && worker.slots > 0 ? new PrivateSocket() : undefined;
  let replica: Replica;
  try {
    const ofReplica = { ...dependencies, observer: activity, privateSocket: socket?.path };
    replica = await composeReplica(replicaConfiguration, ofReplica, signal);
  } catch (cause) {
    socket?.remove();
    throw cause;
  }
  const workerConfiguration = (): WorkerConfiguration => ({
    ...worker,
    hiddenFolders: [...worker.hiddenFolders, ...(socket === undefined ? [] : [socket.folder])],
    remote:
      socket === undefined
        ? `grpc://${hostToReach(configuration.server.listen)}:${replica.port}`
        : `unix:${socket.path}`,
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
        socket?.remove();
        throw cause;
      }
    },
    async stop(force) {
      try {
        await group.stop(force);
      } finally {
        socket?.remove();
      }
    },
    isEncrypted,
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
