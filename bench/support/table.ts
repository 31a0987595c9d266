import { type Row, reachesGoal } from './scenario.ts';

const COLUMNS = ['case', 'value', 'unit', 'least..most', 'p50 ms', 'p99 ms', 'CPU us', 'peak MiB', 'of bare', 'goal'];

/** The rows as a table of Markdown, aligned for a terminal. */
export function renderTable(rows: readonly Row[]): string {
  const cells = [COLUMNS, ...rows.map(cellsOf)];
  const widths = COLUMNS.map((_, i) => Math.max(...cells.map((line) => (line[i] as string).length)));
  const lines = cells.map((line) => `| ${line.map((cell, i) => cell.padEnd(widths[i] as number)).join(' | ')} |`);
  lines.splice(1, 0, `|${widths.map((width) => '-'.repeat(width + 2)).join('|')}|`);
  return lines.join('\n');
}

function cellsOf(row: Row): string[] {
  return [
    row.name,
    number(row.value),
    row.unit,
    row.spread === undefined ? '' : `${number(row.spread[0])}..${number(row.spread[1])}`,
    number(row.p50),
    number(row.p99),
    number(row.serverCpuMicroseconds),
    row.serverMebibytes === undefined ? '' : row.serverMebibytes.toFixed(0),
    row.ofBare === undefined ? '' : row.ofBare.toFixed(2),
    goalOf(row),
  ];
}

function goalOf(row: Row): string {
  if (row.goal === undefined) return '';
  const bound = row.goal.atMost === undefined ? `>= ${row.goal.atLeast}` : `<= ${row.goal.atMost}`;
  const of = { value: row.unit, p50: 'ms p50', serverMebibytes: 'MiB' }[row.goal.of];
  return `${reachesGoal(row) === true ? 'reached' : 'MISSED'}: ${bound} ${of}`;
}

function number(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '';
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}
