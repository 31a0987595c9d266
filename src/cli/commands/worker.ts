import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import type { Command } from 'commander';
import { composeRemoteWorker } from '../../compose/remote-worker.ts';
import { WORKER_READY } from '../../compose/worker-process.ts';
import { checkConfiguration, mergeConfigurations, readConfigurationFile } from '../../config/load-configuration.ts';
import { type WorkerConfiguration, workerSchema } from '../../config/worker-schema.ts';
import { RandomIdGenerator } from '../../lib/ids.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import { addLogOptions, createLogger, type LogOptions } from '../logging.ts';
import { drain, untilAborted } from '../run-service.ts';
import { addWorkerFlags, defaultWorkerDirectory, settingsOfFlags, type WorkerFlags } from '../worker-flags.ts';

interface WorkerCommandOptions extends LogOptions, WorkerFlags {
  readonly config?: string;
  readonly parentPipe?: boolean;
}

/** `warren worker`: a bot that runs actions on this machine. */
export function configureWorker(command: Command, context: CommandContext): void {
  command
    .option('--config <file>', 'settings in YAML; flags overrule them')
    .option('--parent-pipe', 'for warren up: settings and life come by stdin');
  addWorkerFlags(command);
  addLogOptions(command, 'json');
  addExample(command, 'warren worker --remote grpc://build.example:50051 --slots 8 --property pool=large');
  command.action((options: WorkerCommandOptions) => work(options, context));
}

async function work(options: WorkerCommandOptions, context: CommandContext): Promise<void> {
  const orphaned = new AbortController();
  const force = AbortSignal.any([context.force, orphaned.signal]);
  const stop = AbortSignal.any([context.stop, force]);
  const configuration = await configure(options, context, () => orphaned.abort());
  const logger = createLogger(options, context.clock, (line) => context.stderr.write(`${line}\n`));
  const worker = await composeRemoteWorker(
    configuration,
    {
      clock: context.clock,
      ids: new RandomIdGenerator(),
      random: Math.random,
      logger,
      machine: {
        platform: process.platform,
        architecture: process.arch,
        path: context.environment['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
      },
    },
    stop,
  );
  await worker.start(stop);
  if (options.parentPipe === true) context.stdout.write(`${WORKER_READY}\n`);
  await untilAborted(stop);
  await drain(worker, configuration.drainSeconds, { ...context, force });
}

/** @param onOrphaned is called when the parent is gone. */
async function configure(
  options: WorkerCommandOptions,
  context: CommandContext,
  onOrphaned: () => void,
): Promise<WorkerConfiguration> {
  if (options.parentPipe !== true) {
    const { environment } = context;
    const file = options.config === undefined ? {} : await readConfigurationFile(options.config, { environment });
    const defaults = { slots: availableParallelism(), directory: defaultWorkerDirectory(environment) };
    const settings = mergeConfigurations(mergeConfigurations(defaults, file), settingsOfFlags(options));
    return checkConfiguration(options.config ?? 'command line', settings, workerSchema);
  }
  const lines = createInterface({ input: Readable.from(context.stdin) });
  lines.once('close', onOrphaned);
  const line = await new Promise<string>((resolve) => {
    lines.once('line', resolve);
    lines.once('close', () => resolve(''));
  });
  if (line === '') throw new CommandFailure(ExitCode.FAILURE, 'the parent process is gone');
  return checkConfiguration('parent process', JSON.parse(line), workerSchema);
}
