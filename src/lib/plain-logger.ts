import type { Clock } from './clock.ts';
import type { Logger } from './log.ts';

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error'] as const;

export type LogLevel = (typeof LOG_LEVELS)[number];

/** Logs one line each for a person: time, level, message, fields. Errors are followed by their stacks. */
export class PlainLogger implements Logger {
  readonly #write: (line: string) => void;
  readonly #level: LogLevel;
  readonly #clock: Clock;
  readonly #fields: object;

  /**
   * @param write gets each line without its end.
   * @param level what is below it is left out.
   */
  constructor(write: (line: string) => void, level: LogLevel, clock: Clock, fields: object = {}) {
    this.#write = write;
    this.#level = level;
    this.#clock = clock;
    this.#fields = fields;
  }

  debug(fields: object, message: string): void {
    this.#log('debug', fields, message);
  }

  info(fields: object, message: string): void {
    this.#log('info', fields, message);
  }

  warn(fields: object, message: string): void {
    this.#log('warn', fields, message);
  }

  error(fields: object, message: string): void {
    this.#log('error', fields, message);
  }

  child(fields: object): Logger {
    return new PlainLogger(this.#write, this.#level, this.#clock, { ...this.#fields, ...fields });
  }

  #log(level: LogLevel, fields: object, message: string): void {
    if (LOG_LEVELS.indexOf(level) < LOG_LEVELS.indexOf(this.#level)) return;
    const time = new Date(this.#clock.now()).toTimeString().slice(0, 8);
    const errors: Error[] = [];
    let line = `${time} ${level === 'info' ? '' : `${level}: `}${message}`;
    for (const [key, value] of Object.entries({ ...this.#fields, ...fields })) {
      if (value instanceof Error) errors.push(value);
      else if (value !== undefined) line += ` ${key}=${typeof value === 'string' ? value : JSON.stringify(value)}`;
    }
    this.#write(oneLine(line));
    for (const error of errors) this.#write(stackOf(error));
  }
}

/** What a client sent must not be able to draw on the terminal or to forge a line. */
function oneLine(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]/g, (character) => JSON.stringify(character).slice(1, -1));
}

function stackOf(error: Error): string {
  const stack = (error.stack ?? String(error)).split('\n').map((each) => `    ${oneLine(each)}`);
  const cause = error.cause instanceof Error ? `\n    caused by:\n${stackOf(error.cause)}` : '';
  return stack.join('\n') + cause;
}
