import { createHmac, timingSafeEqual } from 'node:crypto';
import type { Job } from '../domain/job.ts';
import { leaseId } from '../domain/lease.ts';
import { type ActionStreamNames, actionStreamId, parseActionStreamId } from '../domain/log-stream.ts';
import { formatLogStreamName, type LogStreamName } from '../domain/resource-name.ts';
import type { Clock, Timer } from '../lib/clock.ts';
import type { IdGenerator } from '../lib/ids.ts';
import type { Service } from '../lib/lifecycle.ts';
import type { Logger } from '../lib/log.ts';
import type { LogStreamStore } from '../ports/log-stream-store.ts';

export interface LogStreamNamesOptions {
  readonly store: Pick<LogStreamStore, 'shareSecret'>;
  readonly ids: IdGenerator;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** How often the secret is asked for again, in milliseconds: a store that lost it gets it back from whoever knows it. */
const REFRESH_INTERVAL = 30_000;

/** Bytes of a write token: half of a SHA-256, and still far beyond guessing. */
const TOKEN_BYTES = 16;

/**
 * The names of log streams. Who knows the name to read can't tell the name to write: that ends in a token which is made
 * from the name and a secret that the replicas share. So names need no store: an action costs one HMAC, and nothing
 * else while nobody watches it.
 */
export class LogStreamNames implements Service {
  readonly name = 'names of log streams';
  readonly #options: LogStreamNamesOptions;
  readonly #never = new AbortController().signal;
  #secret: string | undefined;
  /** The one before: what was named by it goes on. */
  #formerSecret: string | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: LogStreamNamesOptions) {
    this.#options = options;
  }

  /** @throws as `LogStreamStore.shareSecret`. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#refresh(signal);
    this.#arm();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  /** What clients may read of the lease in force; undefined where there is none. */
  readNames({ id, instanceName, lease }: Job): ActionStreamNames | undefined {
    if (lease === undefined) return undefined;
    const { attempt } = lease;
    const nameOf = (stream: 'stdout' | 'stderr') =>
      formatLogStreamName({
        instanceName,
        id: actionStreamId({ jobId: id, attempt, stream }),
        writeToken: undefined,
      });
    return { stdout: nameOf('stdout'), stderr: nameOf('stderr') };
  }

  /** What the bot that has the lease in force may write; undefined where there is none. */
  writeNames(job: Job): ActionStreamNames | undefined {
    const readNames = this.readNames(job);
    if (readNames === undefined || job.lease === undefined || this.#secret === undefined) return undefined;
    const tokens = leaseTokens(this.#secret, job.instanceName, leaseId(job.id, job.lease.attempt));
    return { stdout: `${readNames.stdout}/${tokens.stdout}`, stderr: `${readNames.stderr}/${tokens.stderr}` };
  }

  /** The name to write a stream that is no action's. */
  writeName(instanceName: string, id: string): string {
    return formatLogStreamName({ instanceName, id, writeToken: tokenOf(this.#secret ?? '', instanceName, id) });
  }

  /** Whether the name ends in the token that it was given. */
  mayWrite({ instanceName, id, writeToken = '' }: LogStreamName): boolean {
    return [this.#secret, this.#formerSecret].some(
      (secret) => secret !== undefined && isEqual(writeToken, tokenOf(secret, instanceName, id)),
    );
  }

  #arm(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.setTimer(REFRESH_INTERVAL, () => {
      this.#refresh(this.#never)
        .catch((err: unknown) => this.#options.logger.debug({ err }, 'could not look after the secret of log streams'))
        .finally(() => this.#arm());
    });
  }

  async #refresh(signal: AbortSignal): Promise<void> {
    const { store, ids } = this.#options;
    const secret = await store.shareSecret(this.#secret ?? `${ids.uuid()}${ids.uuid()}`, signal);
    if (secret === this.#secret) return;
    this.#formerSecret = this.#secret;
    this.#secret = secret;
  }
}

function tokenOf(secret: string, instanceName: string, id: string): string {
  const action = parseActionStreamId(id);
  if (action !== undefined) {
    return leaseTokens(secret, instanceName, leaseId(action.jobId, action.attempt))[action.stream];
  }
  return mac(secret, `stream\0${instanceName}\0${id}`).toString('hex', 0, TOKEN_BYTES);
}

/** Both from one HMAC, whose halves tell nothing of each other. */
function leaseTokens(secret: string, instanceName: string, lease: string): ActionStreamNames {
  const bytes = mac(secret, `lease\0${instanceName}\0${lease}`);
  return { stdout: bytes.toString('hex', 0, TOKEN_BYTES), stderr: bytes.toString('hex', TOKEN_BYTES) };
}

function mac(secret: string, text: string): Buffer {
  return createHmac('sha256', secret).update(text).digest();
}

function isEqual(given: string, right: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(right)];
  return a.byteLength === b.byteLength && timingSafeEqual(a, b);
}
