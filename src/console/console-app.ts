import { type Context, Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { html } from 'hono/html';
import { parseRequirementKey } from '../domain/platform.ts';
import { StatusError } from '../domain/status-error.ts';
import type { Logger } from '../lib/log.ts';
import type { Scheduler } from '../scheduling/scheduler.ts';
import { SCRIPT, STYLE } from './assets.ts';
import type { FarmView, FarmWatch } from './farm-watch.ts';
import { content, type PageFacts, page } from './page.ts';
import { isKnownHost, isOurOwnPage } from './request-origin.ts';

/** What the pages of people stand on. */
export interface FarmPages {
  readonly watch: FarmWatch;
  readonly scheduler: Pick<Scheduler, 'broker' | 'sessions'>;
  /** Asked at each page. */
  readonly facts: () => PageFacts;
  /** Names beside addresses and localhost under which browsers may come. */
  readonly hostNames: readonly string[];
}

export interface ConsoleAppOptions {
  /** Whether this replica takes calls. */
  readonly isReady: () => boolean;
  readonly connections: ReadonlyArray<{ readonly name: string; ready(): boolean }>;
  /** All metrics, as Prometheus reads them. */
  readonly metrics: () => Promise<string>;
  readonly metricsType: string;
  /** Undefined where there is no page. */
  readonly pages: FarmPages | undefined;
  readonly logger: Logger;
}

/** Nothing from elsewhere is loaded, nobody may frame the page, and only we may be written to. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy':
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; " +
    "frame-ancestors 'none'; base-uri 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Cache-Control': 'no-store',
};

/** A form holds an instance's name and a requirement, or a bot's id. */
const MAX_FORM_BYTES = 64 * 1024;
const MAX_TEXT = 1_024;

/** All that the console answers. */
export function consoleApp(options: ConsoleAppOptions): Hono {
  const { isReady, connections, metrics, metricsType, pages, logger } = options;
  const app = new Hono();
  app.use(async (context, next) => {
    await next();
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) context.header(name, value);
  });
  app.get('/healthz', (context) => context.text('alive\n'));
  app.get('/readyz', (context) => {
    const ready = isReady();
    const states = Object.fromEntries(connections.map((each) => [each.name, each.ready()]));
    return context.json({ ready, connections: states }, ready ? 200 : 503);
  });
  app.get('/metrics', async (context) => context.body(await metrics(), 200, { 'Content-Type': metricsType }));
  if (pages !== undefined) addPages(app, pages, logger);
  app.onError((cause, context) => {
    logger.error({ err: cause, path: context.req.path }, 'the console failed for a reason of ours');
    return context.text('internal error; the log of the server has the details\n', 500);
  });
  return app;
}

function addPages(app: Hono, pages: FarmPages, logger: Logger): void {
  const { watch, facts, hostNames } = pages;
  const guarded = new Hono();
  guarded.use(async (context, next) => {
    const host = context.req.header('Host');
    if (isKnownHost(host, hostNames)) return next();
    return context.text(`this console is not known as '${host ?? ''}'; console.hostNames can name it so\n`, 421);
  });
  const show = async (context: Context, render: typeof page) => {
    const { view, problem } = await read(watch, logger);
    return respond(context, render(facts(), view, problem));
  };
  guarded.get('/', (context) => show(context, page));
  guarded.get('/view', (context) => show(context, content));
  guarded.get('/console.css', (context) => context.body(STYLE, 200, { 'Content-Type': 'text/css; charset=utf-8' }));
  guarded.get('/console.js', (context) =>
    context.body(SCRIPT, 200, { 'Content-Type': 'text/javascript; charset=utf-8' }),
  );
  const tooLarge = (context: Context) => context.text(`a form has at most ${MAX_FORM_BYTES} bytes\n`, 413);
  guarded.post('*', bodyLimit({ maxSize: MAX_FORM_BYTES, onError: tooLarge }), async (context, next) => {
    const { req } = context;
    if (!facts().allowsChanges) return context.text('console.allowChanges is off\n', 403);
    const origin = { host: req.header('Host'), origin: req.header('Origin'), site: req.header('Sec-Fetch-Site') };
    if (!isOurOwnPage(origin)) return context.text('this does not come from a page of this console\n', 403);
    return next();
  });
  guarded.post('/queues/pause', (context) => change(context, pages, logger, pauseQueue));
  guarded.post('/bots/drain', (context) => change(context, pages, logger, drainBot));
  app.route('/', guarded);
}

async function read(
  watch: FarmWatch,
  logger: Logger,
): Promise<{ readonly view: FarmView | undefined; readonly problem: string | undefined }> {
  try {
    return { view: await watch.view(), problem: undefined };
  } catch (cause) {
    logger.warn({ err: cause }, 'the farm could not be read for the console');
    return { view: undefined, problem: `The farm can't be read: ${StatusError.from(cause).message}` };
  }
}

async function respond(context: Context, piece: ReturnType<typeof html>): Promise<Response> {
  return context.html(await piece);
}

/** A field of a form that is wrong. */
class FormError extends Error {}

type Change = (fields: (name: string) => string, pages: FarmPages, signal: AbortSignal) => Promise<string>;

async function change(context: Context, pages: FarmPages, logger: Logger, make: Change): Promise<Response> {
  const form = await context.req.parseBody();
  const field = (name: string): string => {
    const value = form[name];
    if (typeof value !== 'string') throw new FormError(`${name}: is not set`);
    if (value.length > MAX_TEXT) throw new FormError(`${name}: is longer than ${MAX_TEXT} characters`);
    return value;
  };
  try {
    const what = await make(field, pages, context.req.raw.signal);
    logger.info({ what }, 'changed in the console');
    pages.watch.forget();
    // Relative: a proxy may show the console below a path.
    return context.redirect('../', 303);
  } catch (cause) {
    if (cause instanceof FormError) return context.text(`${cause.message}\n`, 400);
    if (cause instanceof StatusError) return context.text(`${cause.message}\n`, 503);
    throw cause;
  }
}

const pauseQueue: Change = async (field, { scheduler }, signal) => {
  const requirement = parseRequirementKey(field('requirement'));
  if (requirement === undefined) throw new FormError('requirement: is none');
  const [instanceName, paused] = [field('instance'), isTrue(field('paused'))];
  const known = await scheduler.broker.queues(signal);
  const queue = known.find(
    (each) => each.queue.instanceName === instanceName && each.queue.requirement.key === requirement.key,
  );
  if (queue === undefined) throw new FormError('requirement: there is no such queue');
  await scheduler.broker.setPaused(queue.queue, paused, signal);
  return `${paused ? 'paused' : 'let go on'}: queue '${requirement.key}' of instance '${instanceName}'`;
};

const drainBot: Change = async (field, { scheduler }, signal) => {
  const [pattern, drained] = [field('bot'), isTrue(field('drained'))];
  if (pattern === '' || pattern.includes('*')) throw new FormError('bot: would drain others, too');
  if (drained) await scheduler.sessions.addDrain({ pattern, comment: 'drained in the console' }, signal);
  else await scheduler.sessions.removeDrain(pattern, signal);
  return `${drained ? 'drained' : 'let work again'}: bot '${pattern}'`;
};

function isTrue(text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  throw new FormError(`'${text}' is neither true nor false`);
}
