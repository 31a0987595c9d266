/**
 * Sums up the suites that `./dev test` ran: `test-summary.ts FOLDER [--allow-skips] SUITE=EXITCODE ...`.
 *
 * FOLDER holds one JSON report of vitest a suite; `check`, which has none, counts as one test. The last line is always
 * `N passed, N failed`, with `, N skipped` when any were. A skipped test fails the run unless skips are allowed: a test
 * that silently stops running is worth nothing.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface Report {
  readonly numPassedTests: number;
  readonly numFailedTests: number;
  readonly numPendingTests: number;
  readonly numTodoTests: number;
  readonly testResults: readonly {
    readonly name: string;
    readonly status: string;
    readonly message?: string;
    readonly assertionResults: readonly { readonly status: string; readonly fullName: string }[];
  }[];
}

const [folder = '', ...rest] = process.argv.slice(2);
const allowSkips = rest.includes('--allow-skips');
const suites = rest.filter((each) => each !== '--allow-skips').map((each) => each.split('=') as [string, string]);

const total: Counts = { passed: 0, failed: 0, skipped: 0 };
console.log('\n== summary');
for (const [suite, exitCode] of suites) {
  const { counts, notes } = readSuite(suite, Number(exitCode));
  console.log(`${suite.padEnd(14)}${line(counts)}`);
  for (const note of notes) console.log(`  ${note}`);
  total.passed += counts.passed;
  total.failed += counts.failed;
  total.skipped += counts.skipped;
}
if (total.skipped > 0 && !allowSkips) console.log('Skipped tests fail the run; --allow-skips lets them pass.');
console.log(line(total));
process.exitCode = total.failed > 0 || total.passed === 0 || (total.skipped > 0 && !allowSkips) ? 1 : 0;

function readSuite(suite: string, exitCode: number): { counts: Counts; notes: string[] } {
  if (suite === 'check') {
    return { counts: { passed: exitCode === 0 ? 1 : 0, failed: exitCode === 0 ? 0 : 1, skipped: 0 }, notes: [] };
  }
  const path = join(folder, `${suite}.json`);
  if (!existsSync(path)) {
    return { counts: { passed: 0, failed: 1, skipped: 0 }, notes: [`did not finish; vitest exited with ${exitCode}`] };
  }
  const report = JSON.parse(readFileSync(path, 'utf8')) as Report;
  const counts = {
    passed: report.numPassedTests,
    failed: report.numFailedTests,
    skipped: report.numPendingTests + report.numTodoTests,
  };
  const notes: string[] = [];
  for (const file of report.testResults) {
    for (const test of file.assertionResults) {
      if (test.status !== 'passed') notes.push(`${test.status}: ${test.fullName}`);
    }
    // A file that can't be loaded, or whose hooks fail, has no failed test to show for it.
    if (file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed')) {
      counts.failed += 1;
      notes.push(`failed outside its tests: ${file.name}`);
    }
  }
  if (exitCode !== 0 && counts.failed === 0) {
    counts.failed += 1;
    notes.push(`every test passed, but vitest exited with ${exitCode}: an error outside the tests`);
  }
  return { counts, notes };
}

function line({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
}
