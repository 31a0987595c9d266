import type { Command } from 'commander';
import { formatByteSize } from '../../lib/byte-size.ts';
import type { CleaningReport } from '../../ports/store-maintenance.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { CommandFailure, ExitCode } from '../exit-codes.ts';
import { printJson, printLines, tableLines } from '../printing.ts';
import { addStoreOptions, parseSizeOption, type StoreOptions, withStores } from '../stores/open-stores.ts';
import type { OfStore } from '../stores/store-access.ts';
import { styleFor } from '../style.ts';

interface CleanOptions extends StoreOptions {
  readonly dryRun?: boolean;
  readonly to?: number;
}

/** `warren clean`: evicts what was used least recently and drops uploads that nobody will end, or tells what would go. */
export function configureClean(command: Command, context: CommandContext): void {
  command
    .option('--dry-run', 'evict nothing, and tell what would go')
    .option('--to <size>', 'down to this size in each store (default: its low watermark)', parseSizeOption)
    .action((options: CleanOptions) => clean(options, context));
  addStoreOptions(command);
  addExample(command, 'warren clean --dry-run', 'warren clean --config /etc/warren.yaml --store blobs --to 50G');
}

async function clean(options: CleanOptions, context: CommandContext): Promise<void> {
  const dryRun = options.dryRun === true;
  if (options.dataDir !== undefined && options.to === undefined) {
    throw new CommandFailure(ExitCode.USAGE, '--data-dir needs --to: the folder does not tell how much it may hold');
  }
  const reports: Array<OfStore<CleaningReport>> = [];
  await withStores(options, context, async (stores, signal) => {
    for await (const each of stores.clean(options.store, options.to, dryRun, signal)) reports.push(each);
  });
  if (options.json === true) {
    printJson(
      context.stdout,
      reports.map((report) => present(report, dryRun)),
    );
  } else if (reports.length === 0) context.stderr.write('nothing here can be cleaned\n');
  else printLines(context.stdout, linesOf(reports, dryRun, context));
}

function present({ oldestUse, newestUse, ...report }: OfStore<CleaningReport>, dryRun: boolean) {
  return { ...report, dryRun, oldestUse: timeText(oldestUse), newestUse: timeText(newestUse) };
}

function linesOf(reports: ReadonlyArray<OfStore<CleaningReport>>, dryRun: boolean, context: CommandContext): string[] {
  const style = styleFor(context.stdout, context.environment);
  const header = ['STORE', dryRun ? 'WOULD GO' : 'GONE', 'SIZE', 'UPLOADS', 'OLDEST USE', 'NEWEST USE'];
  const rows = reports.map(({ store, entries, bytes, unfinishedUploads, oldestUse, newestUse }) => [
    store,
    String(entries),
    formatByteSize(bytes),
    String(unfinishedUploads),
    timeText(oldestUse) ?? '',
    timeText(newestUse) ?? '',
  ]);
  return tableLines([header.map((each) => style.dim(each)), ...rows]);
}

function timeText(milliseconds: number | undefined): string | undefined {
  return milliseconds === undefined ? undefined : new Date(milliseconds).toISOString();
}
