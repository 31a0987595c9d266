import type { Output } from './command-context.ts';

/** Prints a value as JSON of two spaces' indent, for scripts. Fields are only ever added, never renamed. */
export function printJson(output: Output, value: unknown): void {
  output.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

/** Prints lines. */
export function printLines(output: Output, lines: Iterable<string>): void {
  for (const line of lines) output.write(`${line}\n`);
}

/** Rows in columns, each as wide as its widest cell; the last column takes what it needs. */
export function tableLines(rows: ReadonlyArray<readonly string[]>): string[] {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, shownWidth(cell))));
  return rows.map((row) =>
    row
      .map((cell, i) => (i === row.length - 1 ? cell : cell + ' '.repeat((widths[i] ?? 0) - shownWidth(cell))))
      .join('  ')
      .trimEnd(),
  );
}

/** Names and values, the names in a column: what `show` commands print. Rows without value are left out. */
export function fieldLines(fields: ReadonlyArray<readonly [name: string, value: string | undefined]>): string[] {
  return tableLines(fields.flatMap(([name, value]) => (value === undefined || value === '' ? [] : [[name, value]])));
}

/** Text that came from elsewhere, without what could steer a terminal. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
}

/** Characters that take room, which escape sequences do not. */
function shownWidth(text: string): number {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/\u001b\[[0-9;]*m/g, '').length;
}
