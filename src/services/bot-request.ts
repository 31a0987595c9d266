import type { BotHealth } from '../domain/bot-session.ts';
import type { Property } from '../domain/platform.ts';
import { invalidArgument } from '../domain/status-error.ts';
import {
  type BotSession,
  BotStatus,
  type Lease,
  LeaseState,
} from '../proto/google/devtools/remoteworkers/v1test2/bots.ts';
import type { Device_Property as WireProperty } from '../proto/google/devtools/remoteworkers/v1test2/worker.ts';
import type { ReportedState } from '../scheduling/reconciling.ts';

const MAX_LEASES = 10_000;
const MAX_CAPACITY = 10_000;
const MAX_PROPERTIES = 1_000;
const MAX_TEXT_LENGTH = 1_024;

/** The key in worker.configs under which a bot says how many leases it takes at once. */
const CAPACITY_CONFIG_KEY = 'capacity';

const HEALTHS: Readonly<Record<number, BotHealth>> = {
  [BotStatus.BOT_STATUS_UNSPECIFIED]: 'unspecified',
  [BotStatus.OK]: 'ok',
  [BotStatus.UNHEALTHY]: 'unhealthy',
  [BotStatus.HOST_REBOOTING]: 'host-rebooting',
  [BotStatus.BOT_TERMINATING]: 'terminating',
  [BotStatus.INITIALIZING]: 'initializing',
};

const LEASE_STATES: Readonly<Record<number, ReportedState>> = {
  [LeaseState.PENDING]: 'pending',
  [LeaseState.ACTIVE]: 'active',
  [LeaseState.COMPLETED]: 'completed',
  [LeaseState.CANCELLED]: 'cancelled',
};

/** What a bot says of itself, checked. */
export interface CheckedBot {
  readonly botId: string;
  readonly health: BotHealth;
  readonly properties: readonly Property[];
  readonly capacity: number;
  readonly leases: ReadonlyArray<{ readonly lease: Lease; readonly state: ReportedState }>;
}

/** @throws INVALID_ARGUMENT naming the field, before anything has changed. */
export function checkBotSession(session: BotSession | undefined): CheckedBot {
  if (session === undefined) throw invalidArgument('bot_session', 'is not set');
  const { botId, leases } = session;
  if (botId === '') throw invalidArgument('bot_session.bot_id', 'is not set');
  if (botId.length > MAX_TEXT_LENGTH) {
    throw invalidArgument('bot_session.bot_id', `longer than ${MAX_TEXT_LENGTH} characters`);
  }
  // It is shown in logs and on operators' terminals.
  if (/[\u0000-\u001f\u007f]/.test(botId)) throw invalidArgument('bot_session.bot_id', 'holds a control character');
  const health = HEALTHS[session.status];
  if (health === undefined) throw invalidArgument('bot_session.status', `${session.status} is no BotStatus`);
  if (leases.length > MAX_LEASES) throw invalidArgument('bot_session.leases', `more than ${MAX_LEASES}`);
  const ids = new Set<string>();
  const checked = leases.map((lease, index) => {
    const state = LEASE_STATES[lease.state];
    if (state === undefined) {
      throw invalidArgument(
        `bot_session.leases[${index}].state`,
        `${lease.state} is not a state that a lease can have`,
      );
    }
    if (ids.has(lease.id)) throw invalidArgument(`bot_session.leases[${index}].id`, 'comes twice');
    ids.add(lease.id);
    return { lease, state };
  });
  return { botId, health, properties: propertiesOf(session), capacity: capacityOf(session), leases: checked };
}

/** What the worker as a whole and its first device offer; further devices don't count for matching. */
function propertiesOf({ worker }: BotSession): Property[] {
  return [
    ...readProperties(worker?.devices[0]?.properties ?? [], 'bot_session.worker.devices[0].properties'),
    ...readProperties(worker?.properties ?? [], 'bot_session.worker.properties'),
  ];
}

function readProperties(properties: readonly WireProperty[], field: string): Property[] {
  if (properties.length > MAX_PROPERTIES) throw invalidArgument(field, `more than ${MAX_PROPERTIES}`);
  return properties.map(({ key, value }) => {
    if (key.length > MAX_TEXT_LENGTH || value.length > MAX_TEXT_LENGTH) {
      throw invalidArgument(field, `has a key or value longer than ${MAX_TEXT_LENGTH} characters`);
    }
    return { name: key, value };
  });
}

function capacityOf(session: BotSession): number {
  const stated = session.worker?.configs.find(({ key }) => key === CAPACITY_CONFIG_KEY)?.value;
  if (stated === undefined) return 1;
  const capacity = /^[0-9]{1,5}$/.test(stated) ? Number(stated) : 0;
  if (capacity < 1 || capacity > MAX_CAPACITY) {
    throw invalidArgument('bot_session.worker.configs', `${CAPACITY_CONFIG_KEY} is a number from 1 to ${MAX_CAPACITY}`);
  }
  return capacity;
}
