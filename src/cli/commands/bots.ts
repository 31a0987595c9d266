import type { Command } from 'commander';
import { formatDuration } from '../../lib/format-duration.ts';
import type { Bot } from '../../proto/warren/v1/introspection.ts';
import { IntrospectionService } from '../../proto/warren/v1/introspection.ts';
import { timestampToMilliseconds } from '../../wire/time.ts';
import type { CommandContext } from '../command-context.ts';
import { addExample } from '../example.ts';
import { presentTime, propertiesText } from '../present/values.ts';
import { printable, printJson, printLines, tableLines } from '../printing.ts';
import { addRemoteOptions, type Remote, type RemoteOptions, withRemote } from '../remote.ts';
import { styleFor } from '../style.ts';
import { configureDrains } from './drains.ts';

interface ListOptions extends RemoteOptions {
  readonly allInstances?: boolean;
}

/** `warren bots`: who runs actions. */
export function configureBots(command: Command, context: CommandContext): void {
  const list = command
    .command('list')
    .description('list the bots that have a session, with what they hold and offer')
    .option('--all-instances', 'bots of every instance')
    .action(async (options: ListOptions) => {
      const bots = await withRemote(options, context, (remote, signal) =>
        listBots(remote, options.allInstances === true, signal),
      );
      if (options.json === true) printJson(context.stdout, bots.map(present));
      else if (bots.length === 0) context.stderr.write('no bot has a session\n');
      else printLines(context.stdout, linesOf(bots, context));
    });
  addRemoteOptions(list);
  addExample(list, 'warren bots list', 'warren bots list --all-instances --json');
  configureDrains(command, context);
  addExample(command, 'warren bots list', "warren bots drain 'rack-7-*'");
}

async function listBots(
  { channel, instanceName, retrier }: Remote,
  allInstances: boolean,
  signal: AbortSignal,
): Promise<Bot[]> {
  const bots: Bot[] = [];
  let pageToken = '';
  do {
    const request = { instanceName, allInstances, pageSize: 0, pageToken };
    const page = await retrier.run(() => channel.unary(IntrospectionService.listBots, request, {}, signal), signal);
    bots.push(...page.bots);
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return bots;
}

function present(bot: Bot) {
  return {
    sessionName: bot.sessionName,
    botId: bot.botId,
    instanceName: bot.instanceName,
    status: bot.status,
    drained: bot.drained,
    capacity: bot.capacity,
    leaseIds: bot.leaseIds,
    properties: bot.properties.map(({ name, value }) => ({ name, value })),
    created: presentTime(bot.created),
    lastSeen: presentTime(bot.lastSeen),
    expires: presentTime(bot.expires),
  };
}

function linesOf(bots: readonly Bot[], context: CommandContext): string[] {
  const style = styleFor(context.stdout, context.environment);
  const now = context.clock.now();
  const manyInstances = new Set(bots.map(({ instanceName }) => instanceName)).size > 1;
  const header = ['BOT', 'STATUS', 'LEASES', 'SEEN', 'OFFERS'];
  const rows = bots.map((bot) => {
    const seen = now - (timestampToMilliseconds(bot.lastSeen) ?? now);
    const status = bot.drained ? style.yellow('drained') : bot.status === 'OK' ? 'ok' : style.red(bot.status);
    return [
      manyInstances ? `${printable(bot.instanceName)}/${printable(bot.botId)}` : printable(bot.botId),
      status,
      `${bot.leaseIds.length} of ${bot.capacity}`,
      `${formatDuration(Math.max(seen, 0))} ago`,
      printable(propertiesText(bot.properties) ?? ''),
    ];
  });
  return tableLines([header.map((each) => style.dim(each)), ...rows]);
}
