import type { Command } from 'commander';
import { Activity } from '../../compose/activity.ts';
import { composeReplica, type Replica } from '../../compose/replica.ts';
import { checkConfiguration, readConfigurationFile } from '../../config/load-configuration.ts';
import { replicaSchema } from '../../config/replica-configuration.ts';
import { RandomIdGenerator } from '../../lib/ids.ts';
import type { CommandContext } from '../command-context.ts';
import { addLogOptions, createLogger, type LogOptions } from '../logging.ts';
import { drain, explainStartFailure, untilAborted } from '../run-service.ts';

interface ServeOptions extends LogOptions {
  readonly config: string;
}

/** `warren serve`: one server process with the roles that its configuration names. */
export function configureServe(command: Command, context: CommandContext): void {
  command.requiredOption('--config <file>', 'settings in YAML');
  addLogOptions(command, 'json');
  command.addHelpText('after', '\nExample:\n  warren serve --config /etc/warren.yaml\n');
  command.action((options: ServeOptions) => serve(options, context));
}

async function serve(options: ServeOptions, context: CommandContext): Promise<void> {
  const file = await readConfigurationFile(options.config, { environment: context.environment });
  const configuration = checkConfiguration(options.config, file, replicaSchema);
  const logger = createLogger(options, context.clock, (line) => context.stderr.write(`${line}\n`));
  let replica: Replica | undefined;
  try {
    replica = await composeReplica(
      configuration,
      { clock: context.clock, ids: new RandomIdGenerator(), random: Math.random, logger, observer: new Activity() },
      context.stop,
    );
    await replica.start(context.stop);
  } catch (thrown) {
    await replica?.stop(AbortSignal.abort());
    throw explainStartFailure(thrown);
  }
  logger.info({ roles: configuration.roles, port: replica.port }, 'serving');
  await untilAborted(context.stop);
  logger.info({ seconds: configuration.server.drainSeconds }, 'draining');
  await drain(replica, configuration.server.drainSeconds, context);
  logger.info({}, 'stopped');
}
