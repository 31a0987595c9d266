import { execFileSync } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, totalmem } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { batches } from './scenarios/batches.ts';
import { bazel, bazelLight } from './scenarios/bazel.ts';
import { byteStream, memory } from './scenarios/byte-stream.ts';
import { execute } from './scenarios/execute.ts';
import { findMissingBlobs } from './scenarios/find-missing-blobs.ts';
import { getTree } from './scenarios/get-tree.ts';
import { millionBlobs } from './scenarios/million-blobs.ts';
import { replicas } from './scenarios/replicas.ts';
import { scale } from './scenarios/scale.ts';
import { stores } from './scenarios/stores.ts';
import { transfers } from './scenarios/transfers.ts';
import { goalsOf, type Row, reachesGoal, type Scenario } from './support/scenario.ts';
import { renderTables } from './support/table.ts';

/** Every scenario, in the order in which they run. */
const SCENARIOS: readonly Scenario[] = [
  findMissingBlobs,
  batches,
  getTree,
  byteStream,
  memory,
  transfers,
  millionBlobs,
  stores,
  execute,
  replicas,
  scale,
  bazel,
  bazelLight,
];

const HELP = `./dev bench [SCENARIO ...] [--rounds N] [--quick] [--json FILE] [--profile FOLDER]

Measures servers of its own and says what reached its goal. Exits 1 when a goal is missed, unless --quick.

  --rounds N        rounds of each case; the median counts (3)
  --quick           a tenth of the work: to see whether it runs, not for figures
  --json FILE       writes machine, date and rows to a file
  --profile FOLDER  every server writes a CPU profile there

${SCENARIOS.map((each) => `  ${each.name.padEnd(20)}${each.what}`).join('\n')}
`;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: '3' },
    quick: { type: 'boolean', default: false },
    json: { type: 'string' },
    profile: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

process.exitCode = await main();

async function main(): Promise<number> {
  const unknown = positionals.filter((name) => !SCENARIOS.some((each) => each.name === name));
  if (values.help || unknown.length > 0) {
    if (unknown.length > 0) console.error(`unknown scenario: ${unknown.join(', ')}`);
    console.log(HELP);
    return unknown.length > 0 ? 2 : 0;
  }
  build();
  if (values.profile !== undefined) await mkdir(values.profile, { recursive: true });
  const machine = {
    date: new Date().toISOString(),
    node: process.version,
    processor: cpus()[0]?.model ?? 'unknown',
    cores: availableParallelism(),
    memoryGibibytes: Math.round(totalmem() / 2 ** 30),
    loadBefore: loadavg()[0],
  };
  console.log(
    `${machine.date}  node ${machine.node}  ${machine.cores} x ${machine.processor}  ` +
      `${machine.memoryGibibytes} GiB  load ${machine.loadBefore?.toFixed(2)}`,
  );
  const rows: Row[] = [];
  for (const scenario of SCENARIOS) {
    if (positionals.length > 0 && !positionals.includes(scenario.name)) continue;
    console.error(`${scenario.name}: ${scenario.what}`);
    rows.push(
      ...(await scenario.run({
        rounds: Number(values.rounds),
        scale: values.quick ? 0.1 : 1,
        profileFolder: values.profile,
      })),
    );
  }
  console.log(renderTables(rows));
  if (values.json !== undefined) await writeFile(values.json, `${JSON.stringify({ machine, rows }, undefined, 2)}\n`);
  return !values.quick && rows.some((row) => goalsOf(row).some((goal) => !reachesGoal(row, goal))) ? 1 : 0;
}

/** Servers run the compiled program, as they do in production; its launcher builds it where it is stale. */
function build(): void {
  execFileSync(fileURLToPath(new URL('../warren', import.meta.url)), ['--version'], { stdio: 'ignore' });
}
