const UNITS = ['', 'K', 'M', 'G', 'T', 'P'] as const;

/**
 * Reads a size as people write it: `500M`, `10G`, `1.5 TiB`, `4096`. Units are powers of 1 024.
 *
 * @returns whole bytes, or undefined where the text is no size.
 */
export function parseByteSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s*([kmgtp]?)(?:i?b)?$/i.exec(text.trim());
  if (match === null) return undefined;
  const exponent = UNITS.findIndex((unit) => unit === match[2]?.toUpperCase());
  const bytes = Math.round(Number(match[1]) * 1024 ** exponent);
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** A size for people: `512 B`, `1.5 GiB`. */
export function formatByteSize(bytes: number): string {
  let value = bytes;
  let exponent = 0;
  while (value >= 1024 && exponent < UNITS.length - 1) {
    value /= 1024;
    exponent += 1;
  }
  if (exponent === 0) return `${bytes} B`;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${UNITS[exponent]}iB`;
}
