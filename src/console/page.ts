import { html } from 'hono/html';
import { type BotSession, type DrainPattern, isDrained } from '../domain/bot-session.ts';
import type { Job } from '../domain/job.ts';
import { buildLabels } from '../domain/job-machine/tell.ts';
import { operationName } from '../domain/operation.ts';
import { formatByteSize } from '../lib/byte-size.ts';
import { formatDuration } from '../lib/format-duration.ts';
import type { WorkQueueReport } from '../scheduling/work-queue-overview.ts';
import type { FarmView } from './farm-watch.ts';

/** A piece of HTML. Whatever `html` puts into one is escaped, unless it is a piece itself. */
type Piece = ReturnType<typeof html>;

/** What the page shows beside the farm. */
export interface PageFacts {
  readonly version: string;
  readonly host: string;
  readonly roles: readonly string[];
  readonly connections: ReadonlyArray<{ readonly name: string; readonly ready: boolean }>;
  /** Of this replica. */
  readonly storedBytes: number;
  readonly maximumBytes: number;
  readonly cacheHits: number;
  readonly cacheLookups: number;
  /** Whether queues may be paused and bots drained here. */
  readonly allowsChanges: boolean;
}

/** Rows of one table; browsers and people have enough of it then. */
const MOST_ROWS = 200;

/** The whole page. @param view undefined where the farm can't be read, which `problem` says. */
export function page(facts: PageFacts, view: FarmView | undefined, problem: string | undefined): Piece {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <title>Warren</title>
        <link rel="stylesheet" href="console.css" />
        <noscript><meta http-equiv="refresh" content="5" /></noscript>
        <script src="console.js" defer></script>
      </head>
      <body>
        <header>
          <h1>Warren</h1>
          <p class="quiet">${facts.version} on ${facts.host}: ${facts.roles.join(', ')}</p>
          <input type="search" id="filter" placeholder="Filter rows" aria-label="Filter rows" hidden />
          <p id="age" class="quiet" role="status"></p>
        </header>
        <main id="view">${content(facts, view, problem)}</main>
      </body>
    </html>`;
}

/** What changes from one refresh to the next. */
export function content(facts: PageFacts, view: FarmView | undefined, problem: string | undefined): Piece {
  return html`${problem === undefined ? '' : html`<p class="problem" role="alert">${problem}</p>`}
  ${cards(facts, view)} ${view === undefined ? '' : tables(facts, view)}`;
}

function cards(facts: PageFacts, view: FarmView | undefined): Piece {
  const slots = view?.bots.reduce((sum, bot) => sum + bot.capacity, 0) ?? 0;
  const leases = view?.bots.reduce((sum, bot) => sum + bot.leaseIds.length, 0) ?? 0;
  const hits = facts.cacheLookups === 0 ? '–' : `${Math.round((100 * facts.cacheHits) / facts.cacheLookups)} %`;
  const stored = facts.maximumBytes === 0 ? '–' : formatByteSize(facts.storedBytes);
  const room = facts.maximumBytes === 0 ? 'on other servers' : `of ${formatByteSize(facts.maximumBytes)}, here`;
  return html`<section class="cards" aria-label="Figures">
    ${card('Waiting', count(view?.counts.queued), 'jobs')} ${card('Running', count(view?.counts.leased), 'jobs')}
    ${card('Bots', count(view?.bots.length), `${leases} of ${slots} leases`)}
    ${card('Finished', count(view?.counts.finished), 'jobs still known')}
    ${card('Cache hits', hits, `of ${facts.cacheLookups} lookups here`)} ${card('Stored', stored, room)}
    ${facts.connections.map(({ name, ready }) =>
      card(
        CONNECTION_NAMES[name] ?? name,
        html`<span class="${ready ? 'good' : 'bad'}">${ready ? 'up' : 'down'}</span>`,
        'from here',
      ),
    )}
  </section>`;
}

const CONNECTION_NAMES: Readonly<Record<string, string>> = { redis: 'Redis', rabbitmq: 'RabbitMQ' };

function card(name: string, value: string | Piece, note: string): Piece {
  return html`<div class="card">
    <h2>${name}</h2>
    <p class="figure">${value}</p>
    <p class="quiet">${note}</p>
  </div>`;
}

function count(value: number | undefined): string {
  return value === undefined ? '–' : value.toLocaleString('en');
}

function tables(facts: PageFacts, view: FarmView): Piece {
  const now = view.readAt;
  return html`${table({
    title: 'Work queues',
    columns: ['Instance', 'Requirement', 'Waiting', 'Oldest', 'Bots that fit', 'Idle leases', 'Why it waits', ''],
    rows: view.queues.map((queue) => queueRow(queue, facts, now)),
    none: 'No work has been asked for yet.',
  })}
  ${table({
    title: 'Running',
    columns: ['Action', 'Target', 'Operation', 'Bot', 'Attempt', 'Running for'],
    rows: view.running.map((job) => [
      mnemonic(job),
      target(job),
      operation(job),
      text(job.lease?.botId ?? ''),
      text(String(job.attempts)),
      text(age(now, job.lease?.leasedAt)),
    ]),
    total: view.counts.leased,
    none: 'Nothing runs.',
  })}
  ${table({
    title: 'Waiting',
    columns: ['Action', 'Target', 'Operation', 'Requirement', 'Priority', 'Waiting for'],
    rows: view.queued.map((job) => [
      mnemonic(job),
      target(job),
      operation(job),
      requirement(job.requirement.key),
      text(String(job.priority)),
      text(age(now, job.queuedAt)),
    ]),
    total: view.counts.queued,
    none: 'Nothing waits.',
  })}
  ${table({
    title: 'Bots',
    columns: ['Bot', 'Instance', 'Health', 'Leases', 'Offers', 'Last seen', ''],
    rows: view.bots.map((bot) => botRow(bot, view.drains, facts, now)),
    none: 'No bot has a session.',
  })}
  ${table({
    title: 'Finished lately',
    columns: ['Action', 'Target', 'Operation', 'End', 'Attempts', 'Took', 'Ended'],
    rows: view.finished.map((job) => [
      mnemonic(job),
      target(job),
      operation(job),
      html`<span class="${job.state === 'completed' ? 'good' : 'bad'}">${endOf(job)}</span>`,
      text(String(job.attempts)),
      text(age(job.finishedAt ?? now, job.queuedAt)),
      text(`${age(now, job.finishedAt)} ago`),
    ]),
    total: view.counts.finished,
    none: 'Nothing has finished of late.',
  })}`;
}

interface Table {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: ReadonlyArray<readonly Piece[]>;
  /** How many there are; as many as rows, when nothing else is said. */
  readonly total?: number;
  readonly none: string;
}

function table({ title, columns, rows, total = rows.length, none }: Table): Piece {
  const shown = rows.slice(0, MOST_ROWS);
  const some = total > shown.length && shown.length > 0 ? `${shown.length} of ${count(total)}` : '';
  return html`<section>
    <h2>${title} <span class="quiet">${some}</span></h2>
    ${
      shown.length === 0
        ? html`<p class="quiet none">${none}</p>`
        : html`<div class="scroll"><table>
            <thead>
              <tr>${columns.map((each) => html`<th scope="col">${each}</th>`)}</tr>
            </thead>
            <tbody>
              ${shown.map((cells) => html`<tr>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>`)}
            </tbody>
          </table></div>`
    }
  </section>`;
}

function queueRow(queue: WorkQueueReport, { allowsChanges }: PageFacts, now: number): Piece[] {
  const { paused } = queue;
  const fields = { instance: queue.instanceName, requirement: queue.requirement.key, paused: String(!paused) };
  return [
    text(queue.instanceName === '' ? '(empty)' : queue.instanceName),
    requirement(queue.requirement.key),
    text(count(queue.waitingJobs)),
    text(queue.oldestQueuedAt === undefined ? '' : age(now, queue.oldestQueuedAt)),
    text(String(queue.fittingBots)),
    text(String(queue.idleSlots)),
    html`${paused ? html`<span class="warn">paused</span> ` : ''}${paused ? '' : text(queue.reason)}`,
    allowsChanges ? button('queues/pause', paused ? 'Go on' : 'Pause', fields) : html``,
  ];
}

function botRow(bot: BotSession, drains: readonly DrainPattern[], { allowsChanges }: PageFacts, now: number): Piece[] {
  const drained = isDrained(drains, bot.botId, bot.name);
  const fields = { bot: bot.botId, drained: String(!drained) };
  // A pattern drains others, too: whoever set it takes it back.
  const own = drains.some(({ pattern }) => pattern === bot.botId);
  const canChange = allowsChanges && !bot.botId.includes('*') && drained === own;
  return [
    text(bot.botId),
    text(bot.instanceName === '' ? '(empty)' : bot.instanceName),
    html`<span class="${bot.health === 'ok' ? 'good' : 'bad'}">${bot.health}</span>${
      drained ? html` <span class="warn">drained</span>` : ''
    }`,
    text(`${bot.leaseIds.length} of ${bot.capacity}`),
    html`${bot.properties.map(({ name, value }) => html`<code>${name}=${value}</code> `)}`,
    text(`${age(now, bot.lastSeenAt)} ago`),
    canChange ? button('bots/drain', drained ? 'Let work' : 'Drain', fields) : html``,
  ];
}

function button(action: string, label: string, fields: Readonly<Record<string, string>>): Piece {
  return html`<form method="post" action="${action}">
    ${Object.entries(fields).map(([name, value]) => html`<input type="hidden" name="${name}" value="${value}" />`)}
    <button>${label}</button>
  </form>`;
}

/** Text from elsewhere, kept from turning its surroundings around. */
function text(value: string): Piece {
  return html`<bdi>${value}</bdi>`;
}

function requirement(key: string): Piece {
  return key === '' ? html`<span class="quiet">any bot</span>` : html`<code>${key}</code>`;
}

function mnemonic(job: Job): Piece {
  const { mnemonic, tool } = buildLabels(job);
  return html`<strong>${text(mnemonic === '' ? 'action' : mnemonic)}</strong> <span class="quiet">${text(tool)}</span>`;
}

function target(job: Job): Piece {
  return html`<span class="long">${text(buildLabels(job).target)}</span>`;
}

/** The first: one job may serve several. */
function operation(job: Job): Piece {
  const [first, ...more] = job.operations;
  const name = first === undefined ? job.id : operationName(job.instanceName, first.id);
  return html`<code class="long">${name}</code>${more.length === 0 ? '' : html` <span class="quiet">+${more.length}</span>`}`;
}

function endOf(job: Job): string {
  const status = job.outcome?.kind === 'status' ? job.outcome.status : undefined;
  return status === undefined || status.message === '' ? job.state : `${job.state}: ${status.message.slice(0, 200)}`;
}

function age(now: number, since: number | undefined): string {
  return since === undefined ? '' : formatDuration(Math.max(0, now - since));
}
