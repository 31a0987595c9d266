import { type Command, Option } from 'commander';
import { createJsonLogger } from '../compose/json-logger.ts';
import type { Clock } from '../lib/clock.ts';
import type { Logger } from '../lib/log.ts';
import { LOG_LEVELS, type LogLevel, PlainLogger } from '../lib/plain-logger.ts';

/** How a long-running command logs. */
export interface LogOptions {
  readonly logLevel: LogLevel;
  readonly logFormat: 'plain' | 'json';
}

/** Adds `--log-level` and `--log-format`. */
export function addLogOptions(command: Command, defaultFormat: LogOptions['logFormat']): void {
  command
    .addOption(
      new Option('--log-level <level>', 'what to log')
        .choices([...LOG_LEVELS])
        .default('info')
        .env('WARREN_LOG_LEVEL'),
    )
    .addOption(
      new Option('--log-format <format>', 'for people or for machines')
        .choices(['plain', 'json'])
        .default(defaultFormat)
        .env('WARREN_LOG_FORMAT'),
    );
}

/** @param writeLine gets each line without its end. */
export function createLogger(options: LogOptions, clock: Clock, writeLine: (line: string) => void): Logger {
  if (options.logFormat === 'plain') return new PlainLogger(writeLine, options.logLevel, clock);
  return createJsonLogger((line) => writeLine(line.trimEnd()), options.logLevel);
}
