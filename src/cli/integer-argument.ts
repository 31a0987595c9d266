import { InvalidArgumentError } from 'commander';

/** Reads the value of an option that is a whole number. */
export function integerIn(lowest: number, highest: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (/^\d+$/.test(text) && value >= lowest && value <= highest) return value;
    throw new InvalidArgumentError(`It is a whole number from ${lowest} to ${highest}.`);
  };
}
