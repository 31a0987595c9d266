import { type Command, Option } from 'commander';
import { Activity } from '../../compose/activity.ts';
import { MetricsExchange } from '../../compose/metrics-exchange.ts';
import { composeReplica, type Replica } from '../../compose/replica.ts';
import {
  type ConfigurationMessage,
  type HelloMessage,
  ReplicaProcesses,
  type ServingMessage,
} from '../../compose/replica-processes.ts';
import { checkConfiguration, mergeConfigurations, readConfigurationFile } from '../../config/load-configuration.ts';
import {
  type ReplicaConfiguration,
  replicaSchema,
  type ServeConfiguration,
} from '../../config/replica-configuration.ts';
import { RandomIdGenerator } from '../../lib/ids.ts';
import type { Logger } from '../../lib/log.ts';
import { isMessage, type PeerProcess } from '../../lib/peer-process.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { integerIn } from '../integer-argument.ts';
import { addLogOptions, createLogger, type LogOptions } from '../logging.ts';
import { drain, explainStartFailure, untilAborted } from '../run-service.ts';

interface ServeOptions extends LogOptions {
  readonly config: string;
  readonly processes?: number;
}

/** `warren serve`: a server with the roles that its configuration names. */
export function configureServe(command: Command, context: CommandContext): void {
  command.requiredOption('--config <file>', 'settings in YAML');
  command.addOption(
    new Option(
      '--processes <number>',
      'processes that serve the port together (default: as configured, else 1)',
    ).argParser(integerIn(1, 512)),
  );
  addLogOptions(command, 'json');
  addExample(command, 'warren serve --config /etc/warren.yaml');
  command.action((options: ServeOptions) => serve(options, context));
}

async function serve(options: ServeOptions, context: CommandContext): Promise<void> {
  const logger = createLogger(options, context.clock, (line) => context.stderr.write(`${line}\n`));
  if (context.primary !== undefined) {
    await serveBeside(context.primary, options, logger, context);
    return;
  }
  const { processes } = options;
  const file = await readConfigurationFile(options.config, { environment: context.environment });
  const values = mergeConfigurations(file, processes === undefined ? {} : { processes });
  const configuration = checkConfiguration(options.config, values, replicaSchema);
  if (configuration.processes === 1) await runReplica(configuration, logger, context, () => {});
  else await runProcesses(configuration, values, options, logger, context);
}

/** The primary of several processes: it starts them, and serves no call itself. */
async function runProcesses(
  configuration: ServeConfiguration,
  values: unknown,
  options: ServeOptions,
  logger: Logger,
  context: CommandContext,
): Promise<void> {
  const processes = new ReplicaProcesses({
    count: configuration.processes,
    program: {
      nodeArguments: process.execArgv,
      script: process.argv[1] ?? '',
      args: [
        'serve',
        `--config=${options.config}`,
        `--log-level=${options.logLevel}`,
        `--log-format=${options.logFormat}`,
      ],
    },
    addresses: {
      server: configuration.server.listen,
      ...(configuration.console === undefined ? {} : { console: configuration.console.listen }),
    },
    configuration: ({ server, console }) => {
      const consolePart = console === undefined ? {} : { console: { listen: console } };
      return mergeConfigurations(values, { server: { listen: server }, ...consolePart });
    },
    clock: context.clock,
    random: Math.random,
    logger,
  });
  try {
    await processes.start(context.stop);
  } catch (thrown) {
    throw explainStartFailure(thrown);
  }
  const { server, console } = processes.addresses;
  const ports = { port: portOf(server), consolePort: portOf(console) };
  logger.info({ roles: configuration.roles, ...ports, processes: configuration.processes }, 'serving');
  await untilAborted(context.stop);
  // They keep to the time themselves, and log it.
  await drain(processes, configuration.server.drainSeconds + PRIMARY_PATIENCE_SECONDS, context);
  logger.info({}, 'stopped');
}

/** How much longer than its processes the primary waits for the end of a drain. */
const PRIMARY_PATIENCE_SECONDS = 5;

function portOf(address: string | undefined): number | undefined {
  return address === undefined ? undefined : Number(address.slice(address.lastIndexOf(':') + 1));
}

/** One of several processes. What it serves the primary tells, so that a file changed meanwhile divides nobody. */
async function serveBeside(
  primary: PeerProcess,
  options: ServeOptions,
  logger: Logger,
  context: CommandContext,
): Promise<void> {
  const told = await new Promise<ConfigurationMessage>((resolve) => {
    primary.onMessage((message) => {
      if (isMessage(message, 'configuration')) resolve(message as ConfigurationMessage);
    });
    primary.send({ kind: 'hello' } satisfies HelloMessage);
  });
  const configuration = checkConfiguration(options.config, told.value, replicaSchema);
  const exchange = new MetricsExchange(primary, context.clock);
  const onServing = () => primary.send({ kind: 'serving' } satisfies ServingMessage);
  await runReplica(configuration, logger.child({ process: told.process }), context, onServing, exchange);
}

/** @param onServing is called once it takes calls. */
async function runReplica(
  configuration: ReplicaConfiguration,
  logger: Logger,
  context: CommandContext,
  onServing: () => void,
  metricsExchange?: MetricsExchange,
): Promise<void> {
  let replica: Replica | undefined;
  try {
    replica = await composeReplica(
      configuration,
      {
        clock: context.clock,
        ids: new RandomIdGenerator(),
        random: Math.random,
        logger,
        observer: new Activity(),
        metricsExchange,
      },
      context.stop,
    );
    await replica.start(context.stop);
  } catch (thrown) {
    await replica?.stop(AbortSignal.abort());
    throw explainStartFailure(thrown);
  }
  logger.info({ roles: configuration.roles, port: replica.port, consolePort: replica.consolePort }, 'serving');
  onServing();
  await untilAborted(context.stop);
  logger.info({ seconds: configuration.server.drainSeconds }, 'draining');
  await drain(replica, configuration.server.drainSeconds, context);
  logger.info({}, 'stopped');
}
