import type { Command } from 'commander';
import { formatByteSize } from '../../lib/byte-size.ts';
import type { IndexDifference, RebuildReport } from '../../ports/store-maintenance.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import { printable, printJson, printLines, tableLines } from '../printing.ts';
import { addStoreOptions, type StoreOptions, withStores } from '../stores/open-stores.ts';
import type { OfStore } from '../stores/store-access.ts';
import { styleFor } from '../style.ts';

/** `warren index`: whether the indexes of stores agree with what these have, and making them agree. */
export function configureIndex(command: Command, context: CommandContext): void {
  const check = command
    .command('check')
    .description('name every difference between index and store; exit code 1 where there is one')
    .action((options: StoreOptions) => checkIndexes(options, context));
  addStoreOptions(check);
  addExample(check, 'warren index check', 'warren index check --config /etc/warren.yaml --store blobs --json');

  const rebuild = command
    .command('rebuild')
    .description('make the index agree with what the store has')
    .action((options: StoreOptions) => rebuildIndexes(options, context));
  addStoreOptions(rebuild);
  addExample(rebuild, 'warren index rebuild', 'warren index rebuild --config /etc/warren.yaml');
  addExample(command, 'warren index check');
}

async function checkIndexes(options: StoreOptions, context: CommandContext): Promise<void> {
  const { stdout } = context;
  const json = options.json === true;
  const found: Array<OfStore<IndexDifference>> = [];
  let count = 0;
  await withStores(options, context, async (stores, signal) => {
    for await (const { store, what, entry } of stores.check(options.store, signal)) {
      count += 1;
      if (json) found.push({ store, what, entry });
      else printLines(stdout, [`${store}  ${printable(what)}  ${printable(entry)}`]);
    }
  });
  if (json) printJson(stdout, found);
  else if (count === 0) context.stderr.write('index and store agree\n');
  if (count > 0) {
    const what = count === 1 ? 'is 1 difference' : `are ${count} differences`;
    throw new CommandFailure(ExitCode.FAILURE, `there ${what}; warren index rebuild mends them`);
  }
}

async function rebuildIndexes(options: StoreOptions, context: CommandContext): Promise<void> {
  const reports: Array<OfStore<RebuildReport>> = [];
  await withStores(options, context, async (stores, signal) => {
    for await (const each of stores.rebuild(options.store, signal)) reports.push(each);
  });
  if (options.json === true) printJson(context.stdout, reports);
  else if (reports.length === 0) context.stderr.write('no store here has an index\n');
  else printLines(context.stdout, linesOf(reports, context));
  for (const { store, listed } of reports) {
    if (!listed) context.stderr.write(`${store} cannot list what it has: what the index did not know is not in it\n`);
  }
}

function linesOf(reports: ReadonlyArray<OfStore<RebuildReport>>, { stdout, environment }: CommandContext): string[] {
  const style = styleFor(stdout, environment);
  const header = ['STORE', 'ENTRIES', 'SIZE', 'PUT IN', 'TAKEN OUT'];
  const rows = reports.map(({ store, entries, bytes, added, removed }) => [
    store,
    String(entries),
    formatByteSize(bytes),
    String(added),
    String(removed),
  ]);
  return tableLines([header.map((each) => style.dim(each)), ...rows]);
}
