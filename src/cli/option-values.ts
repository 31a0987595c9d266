import { InvalidArgumentError } from 'commander';

/** What an option of the form NAME=VALUE says. */
export interface NamedValue {
  readonly name: string;
  readonly value: string;
}

/** Gathers an option that may come several times, each NAME=VALUE. The value may hold further equals signs. */
export function collectNamedValue(text: string, before: readonly NamedValue[] = []): NamedValue[] {
  const equals = text.indexOf('=');
  if (equals <= 0) throw new InvalidArgumentError('It is written NAME=VALUE.');
  return [...before, { name: text.slice(0, equals), value: text.slice(equals + 1) }];
}

/** Reads seconds above 0. @returns milliseconds. */
export function parseDuration(text: string): number {
  const seconds = Number(text);
  if (!/^\d+(\.\d+)?$/.test(text) || seconds <= 0) {
    throw new InvalidArgumentError('It is a number of seconds above 0.');
  }
  return seconds * 1_000;
}
