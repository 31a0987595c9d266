import { availableParallelism } from 'node:os';
import { type Command, Option } from 'commander';
import { stringify } from 'yaml';
import { z } from 'zod';
import { checkServerTls } from '../../compose/server-tls.ts';
import { defaultDataDirectory, embeddedConfiguration } from '../../config/embedded-configuration.ts';
import { hideSecrets } from '../../config/hidden-secrets.ts';
import { checkConfiguration, readConfigurationFile } from '../../config/load-configuration.ts';
import {
  type GridConfiguration,
  gridSchema,
  replicaSchema,
  type ServeConfiguration,
} from '../../config/replica-configuration.ts';
import { type WorkerConfiguration, workerSchema } from '../../config/worker-schema.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';

/** What each command takes by `--config`. */
const SCHEMAS = { serve: replicaSchema, worker: workerSchema, up: gridSchema } as const;

/** `warren up` chooses its own by the disk that it finds. */
const EXAMPLE_MAX_BYTES = 20 * 1024 ** 3;

/** And another port where this one is taken. */
const EXAMPLE_CONSOLE_PORT = 50_052;

interface ConfigOptions {
  readonly for: keyof typeof SCHEMAS;
}

/** `warren config`: what a configuration file may say, and whether one is right. */
export function configureConfig(command: Command, context: CommandContext): void {
  const subcommand = (name: string, description: string, example: string) =>
    addExample(
      command
        .command(name)
        .description(description)
        .addOption(new Option('--for <command>', 'who takes it').choices(Object.keys(SCHEMAS)).default('serve')),
      `warren config ${example}`,
    );
  subcommand('check <file>', 'name every problem of a file', 'check /etc/warren.yaml').action(
    async (file: string, options: ConfigOptions) => {
      const configuration = await load(file, options, context);
      if ('server' in configuration) await checkServerTls(file, configuration.server);
      context.stdout.write(`${file} is right\n`);
    },
  );
  subcommand(
    'show <file>',
    'print a file with its defaults and the environment put in, but for passwords and the like',
    'show /etc/warren-worker.yaml --for worker',
  ).action(async (file: string, options: ConfigOptions) => {
    context.stdout.write(stringify(hideSecrets(await load(file, options, context))));
  });
  subcommand('schema', 'print the JSON schema, for editors', 'schema --for up > warren.schema.json').action(
    (options: ConfigOptions) => {
      const schema = z.toJSONSchema(SCHEMAS[options.for], { io: 'input' });
      context.stdout.write(`${JSON.stringify(schema, undefined, 2)}\n`);
    },
  );
  addExample(command, 'warren config check /etc/warren.yaml');
}

async function load(
  file: string,
  options: ConfigOptions,
  { environment }: CommandContext,
): Promise<ServeConfiguration | WorkerConfiguration | GridConfiguration> {
  const value = await readConfigurationFile(file, { environment });
  if (options.for !== 'up') return checkConfiguration(file, value, SCHEMAS[options.for]);
  const dataDirectory = defaultDataDirectory(environment);
  return embeddedConfiguration(
    file,
    value,
    { dataDirectory },
    { cores: availableParallelism(), maxSizeBytes: EXAMPLE_MAX_BYTES, consolePort: EXAMPLE_CONSOLE_PORT },
  );
}
