import { randomUUID } from 'node:crypto';
import { afterAll, expect, inject, it } from 'vitest';
import { SimulatedBot, type SimulatedBotOptions } from '../support/simulated-bot.ts';
import { type ActionOptions, type PreparedAction, Tenant } from '../support/tenant.ts';
import { type Failure, WireClient } from '../support/wire-client.ts';

/** The server under test. */
export interface TargetDescription {
  /** Calls go round robin over these. */
  readonly addresses: readonly string[];
  readonly instanceName: string;
  /** A platform property that the server knows; the suite makes up values for it, so that only its own bots fit. */
  readonly propertyKey: string;
  /** Whether to check also what Warren has chosen where the protocol leaves the choice. */
  readonly choices: boolean;
}

declare module 'vitest' {
  export interface ProvidedContext {
    target: TargetDescription;
  }
}

/** A client of the server under test, closed when the file's tests are done. */
export function connect(): Tenant {
  const { addresses, instanceName } = inject('target');
  const client = new WireClient(addresses);
  afterAll(() => client.close());
  return new Tenant(client, instanceName);
}

/** A case for what Warren has chosen where the protocol leaves the choice; not run against other servers. */
export const choice = inject('target').choices ? it : it.skip;

/** A platform that only the bots of one test offer. */
export class Platform {
  readonly property: readonly [string, string];
  readonly #tenant: Tenant;

  constructor(tenant: Tenant) {
    this.#tenant = tenant;
    this.property = [inject('target').propertyKey, `conformance-${randomUUID()}`];
  }

  bot(options: SimulatedBotOptions = {}): SimulatedBot {
    return new SimulatedBot(this.#tenant.client, {
      parent: this.#tenant.instanceName,
      properties: [this.property],
      ...options,
    });
  }

  /** Uploads an action that asks for this platform. */
  prepare(options: ActionOptions = {}): Promise<PreparedAction> {
    const [name, value] = this.property;
    return this.#tenant.prepare({
      ...options,
      action: { platform: { properties: [{ name, value }] }, ...options.action },
    });
  }
}

/** INVALID_ARGUMENT whose message holds one of these names of fields. */
export function expectNamed(error: Failure, ...fields: readonly string[]): void {
  expect(error.code, error.message).toBe('INVALID_ARGUMENT');
  expect(
    fields.some((field) => error.message.includes(field)),
    `'${error.message}' names none of ${fields.join(', ')}`,
  ).toBe(true);
}
