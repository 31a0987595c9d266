import { statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { composeEmbeddedGrid, type EmbeddedGrid } from '../../compose/embedded-grid.ts';
import { defaultDataDirectory, embeddedConfiguration } from '../../config/embedded-configuration.ts';
import { readConfigurationFile } from '../../config/load-configuration.ts';
import type { GridConfiguration } from '../../config/replica-configuration.ts';
import { formatByteSize, parseByteSize } from '../../lib/byte-size.ts';
import { sleep } from '../../lib/clock.ts';
import { RandomIdGenerator } from '../../lib/ids.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { integerIn } from '../integer-argument.ts';
import { LiveDisplay } from '../live-display.ts';
import { addLogOptions, createLogger, type LogOptions } from '../logging.ts';
import { drain, explainStartFailure, untilAborted } from '../run-service.ts';
import { statusLines, usage } from '../up-status.ts';

interface UpOptions extends LogOptions {
  readonly port?: number;
  readonly dataDir?: string;
  readonly workers?: number;
  readonly maxSize?: number;
  readonly config?: string;
  readonly consolePort?: number;
  readonly console: boolean;
}

/** How often the live lines are drawn anew, in milliseconds. */
const REFRESH_MS = 500;

/** How often they are logged where nobody watches, in refreshes: twice a minute, and only when something has changed. */
const REFRESHES_PER_LOG_LINE = 60;

/** The room that the storage takes unless told otherwise; half of what is free where that is less. */
const DEFAULT_MAX_BYTES = 20 * 1024 ** 3;

/** `warren up`: the embedded grid. */
export function configureUp(command: Command, context: CommandContext): void {
  command
    .addOption(
      new Option('--port <number>', 'port on 127.0.0.1; 0 takes a free one and prints it (default: 50051)').argParser(
        integerIn(0, 65_535),
      ),
    )
    .option('--data-dir <folder>', 'where everything is kept (default: warren in the cache folder of the user)')
    .addOption(
      new Option('--workers <number>', 'actions run at once (default: one for each core)').argParser(
        integerIn(0, 10_000),
      ),
    )
    .addOption(
      new Option(
        '--max-size <size>',
        'room that the storage may take, such as 10G (default: 20G, or half of what is free)',
      ).argParser(byteSize),
    )
    .addOption(
      new Option(
        '--console-port <number>',
        'port of the web console on 127.0.0.1 (default: 50052, or a free one)',
      ).argParser(integerIn(0, 65_535)),
    )
    .option('--no-console', 'neither web console nor metrics')
    .option('--config <file>', 'settings in YAML; flags overrule them');
  addLogOptions(command, 'plain');
  addExample(command, 'warren up', 'warren up --port 0 --data-dir /tmp/warren --max-size 5G');
  command.action((options: UpOptions) => up(options, context));
}

async function up(options: UpOptions, context: CommandContext): Promise<void> {
  const configuration = await configure(options, context);
  const display = new LiveDisplay(context.stderr);
  const logger = createLogger(options, context.clock, (line) => display.log(line));
  const starting = AbortSignal.any([context.stop, context.force]);
  let grid: EmbeddedGrid;
  try {
    grid = await composeEmbeddedGrid(
      configuration,
      { executable: process.execPath, args: [...process.execArgv, process.argv[1] ?? ''] },
      { clock: context.clock, ids: new RandomIdGenerator(), random: Math.random, logger },
      starting,
    );
    await grid.start(starting);
  } catch (thrown) {
    throw explainStartFailure(thrown);
  }
  context.stdout.write(usage(grid, configuration.instances[0]?.name ?? ''));
  await watch(grid, display, context);
  await stop(grid, configuration.server.drainSeconds, display, context);
}

/** Shows what runs until the user has had enough. */
async function watch(grid: EmbeddedGrid, display: LiveDisplay, { clock, stop }: CommandContext): Promise<void> {
  let logged = '';
  for (let refresh = 1; !stop.aborted; refresh++) {
    const lines = await statusLines(grid, stop).catch(() => []);
    display.show(lines);
    const text = lines.join('; ');
    if (!display.isLive && refresh % REFRESHES_PER_LOG_LINE === 0 && text !== logged) {
      display.log(text);
      logged = text;
    }
    await sleep(clock, REFRESH_MS, stop).catch(() => {});
  }
}

async function stop(grid: EmbeddedGrid, seconds: number, display: LiveDisplay, context: CommandContext): Promise<void> {
  const { leased } = await grid.countJobs(context.force).catch(() => ({ leased: 0 }));
  display.show([]);
  if (leased > 0) display.log(`stopping: waiting up to ${seconds} s for ${leased} running actions; Ctrl-C ends them`);
  else display.log('stopping');
  const stopped = drain(grid, seconds, context);
  await Promise.race([stopped, untilAborted(context.force)]);
  await stopped;
  display.log('stopped');
}

async function configure(options: UpOptions, context: CommandContext): Promise<GridConfiguration> {
  const { environment } = context;
  const dataDirectory = resolve(options.dataDir ?? defaultDataDirectory(environment));
  const file = options.config === undefined ? undefined : await readConfigurationFile(options.config, { environment });
  const maxSizeBytes = await defaultMaxBytes(dataDirectory);
  return embeddedConfiguration(
    options.config ?? 'command line',
    file,
    {
      dataDirectory,
      port: options.port,
      workers: options.workers,
      maxSizeBytes: options.maxSize,
      consolePort: options.consolePort,
      console: options.console,
    },
    { cores: availableParallelism(), maxSizeBytes, consolePort: await defaultConsolePort(options.port) },
  );
}

/** The usual one unless it is taken; who wants any free port for the server wants one for the console, too. */
async function defaultConsolePort(port: number | undefined): Promise<number> {
  if (port === 0) return 0;
  const probe = createServer();
  return new Promise((resolve) => {
    probe.once('error', () => resolve(0));
    probe.listen(USUAL_CONSOLE_PORT, '127.0.0.1', () => probe.close(() => resolve(USUAL_CONSOLE_PORT)));
  });
}

const USUAL_CONSOLE_PORT = 50_052;

/** As much as is good for a disk that others use, too. */
async function defaultMaxBytes(directory: string): Promise<number> {
  for (let folder = directory; ; folder = join(folder, '..')) {
    try {
      const { bavail, bsize } = await statfs(folder);
      return Math.min(DEFAULT_MAX_BYTES, Math.max(1024 ** 3, Math.floor((bavail * bsize) / 2)));
    } catch {
      if (folder === '/') return DEFAULT_MAX_BYTES;
    }
  }
}

/** The least room in which the stores work. */
const LEAST_MAX_BYTES = 64 * 1024 ** 2;

function byteSize(text: string): number {
  const bytes = parseByteSize(text);
  if (bytes !== undefined && bytes >= LEAST_MAX_BYTES) return bytes;
  throw new InvalidArgumentError(`It is a size of at least ${formatByteSize(LEAST_MAX_BYTES)}, such as 500M or 10G.`);
}
