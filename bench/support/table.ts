import { type Goal, goalsOf, type Row, reachesGoal } from './scenario.ts';

const COLUMNS = ['case', 'value', 'unit', 'least..most', 'p50 ms', 'p99 ms', 'CPU us', 'peak MiB', 'of bare', 'goal'];

/** The rows as tables of Markdown, aligned for a terminal: one of all, and one for each set of further figures. */
export function renderTables(rows: readonly Row[]): string {
  const tables = [render([COLUMNS, ...rows.map(cellsOf)])];
  const bySet = new Map<string, Row[]>();
  for (const row of rows) {
    if (row.details === undefined) continue;
    const set = JSON.stringify(Object.keys(row.details));
    bySet.set(set, [...(bySet.get(set) ?? []), row]);
  }
  for (const [set, alike] of bySet) {
    const lines = alike.map((row) => [row.name, ...Object.values(row.details ?? {}).map(number)]);
    tables.push(render([['case', ...(JSON.parse(set) as string[])], ...lines]));
  }
  return tables.join('\n\n');
}

function render(cells: ReadonlyArray<readonly string[]>): string {
  const widths = (cells[0] ?? []).map((_, i) => Math.max(...cells.map((line) => (line[i] as string).length)));
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
    goalsOf(row)
      .map((goal) => describeGoal(row, goal))
      .join('; '),
  ];
}

function describeGoal(row: Row, goal: Goal): string {
  const bound = goal.atMost === undefined ? `>= ${goal.atLeast}` : `<= ${goal.atMost}`;
  const units: Readonly<Record<string, string>> = {
    value: row.unit,
    p50: 'ms p50',
    p99: 'ms p99',
    serverCpuMicroseconds: 'us CPU',
    serverMebibytes: 'MiB',
  };
  return `${reachesGoal(row, goal) ? 'reached' : 'MISSED'}: ${bound} ${units[goal.of] ?? goal.of}`;
}

function number(value: number | undefined): string {
  if (value === undefined || Number.isNaN(value)) return '';
  return value >= 100 ? value.toFixed(0) : value.toFixed(value >= 10 ? 1 : 2);
}
