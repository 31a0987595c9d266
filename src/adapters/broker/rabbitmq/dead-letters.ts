import type { ChannelModel, GetMessage } from 'amqplib';
import { CarrierAwayError, type DeadLetter } from '../../../ports/broker.ts';
import type { ConnectionUser } from './connection.ts';
import { decodeWork, encodeWork } from './messages.ts';
import { DEAD_EXCHANGE, DEAD_QUEUE } from './names.ts';
import { type ConfirmingPublisher, UnroutableError } from './publisher.ts';
import type { Topology } from './topology.ts';
import { withChannel } from './with-channel.ts';
import { workHeaders } from './work-headers.ts';

const RETRY_DELAY_MS = 500;
const MAX_REASON = 4_096;

/** The queue of dead letters: operators read it in the management console as well as through us. */
export class DeadLetters implements ConnectionUser {
  readonly name = 'dead letters';
  readonly #publisher: ConfirmingPublisher;
  readonly #topology: Pick<Topology, 'declare'>;
  #model: ChannelModel | undefined;

  constructor(publisher: ConfirmingPublisher, topology: Pick<Topology, 'declare'>) {
    this.#publisher = publisher;
    this.#topology = topology;
  }

  connected(model: ChannelModel): Promise<void> {
    this.#model = model;
    return Promise.resolve();
  }

  disconnected(): void {
    this.#model = undefined;
  }

  /** @throws as `ConfirmingPublisher.publish`. */
  async publish(letter: DeadLetter): Promise<void> {
    try {
      await this.#publish(letter);
    } catch (error) {
      if (!(error instanceof UnroutableError) || this.#model === undefined) throw error;
      // Somebody deleted the queue; declared anew, it takes the letter.
      await this.#topology.declare(this.#model);
      await this.#publish(letter);
    }
  }

  #publish({ work, reason, at }: DeadLetter): Promise<void> {
    return this.#publisher.publish({
      exchange: DEAD_EXCHANGE,
      routingKey: '',
      body: encodeWork(work),
      mandatory: true,
      persistent: true,
      messageId: work.jobId,
      type: 'warren.dead-letter',
      headers: { ...workHeaders(work), reason: reason.slice(0, MAX_REASON), at },
    });
  }

  /** As `Broker.visitDeadLetters`. What is kept goes back as the channel closes, each to its place. */
  async visit(
    visit: (letter: DeadLetter) => Promise<'keep' | 'remove'>,
    limit: number,
    signal: AbortSignal,
  ): Promise<void> {
    const model = this.#model;
    if (model === undefined) throw new CarrierAwayError('RabbitMQ is not connected', RETRY_DELAY_MS);
    await withChannel(model, async (channel) => {
      for (let seen = 0; seen < limit; seen++) {
        signal.throwIfAborted();
        const message = await channel.get(DEAD_QUEUE);
        if (message === false) return;
        const letter = readLetter(message);
        if (letter !== undefined && (await visit(letter)) === 'remove') channel.ack(message);
      }
    });
  }
}

/** The letter, or undefined where somebody else put something there: it stays for whoever did. */
function readLetter(message: GetMessage): DeadLetter | undefined {
  const work = decodeWork(message.content);
  if (work === undefined) return undefined;
  const headers: Readonly<Record<string, unknown>> = message.properties.headers ?? {};
  const { reason, at } = headers as { reason?: unknown; at?: unknown };
  return {
    work,
    reason: typeof reason === 'string' ? reason : '',
    at: typeof at === 'number' && Number.isFinite(at) ? at : work.queuedAt,
  };
}
