import { pino } from 'pino';
import type { Logger } from '../lib/log.ts';
import type { LogLevel } from '../lib/plain-logger.ts';

/** Logs one JSON object a line, for machines. @param write gets each line with its end. */
export function createJsonLogger(write: (line: string) => void, level: LogLevel): Logger {
  return pino(
    {
      level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    { write },
  );
}
