import type { Worker } from 'node:cluster';

/** As node:cluster tells one of the processes that a connection is its own. */
interface NewConnection {
  readonly cmd: 'NODE_CLUSTER';
  readonly act: 'newconn';
  readonly seq: number;
}

interface Connection {
  close(): void;
}

/**
 * Closes connections that were handed to a process and that it had not taken when it ended.
 *
 * node:cluster waits for its word of each, and so keeps them open when it dies: nobody would ever answer on them, and only
 * clients with a keep-alive would learn of it. One that the process has taken is its own, and closes with it; this process
 * has a copy, which may be closed at any time.
 */
export function closeWithProcess(worker: Worker): void {
  const child = worker.process;
  const handed = new Map<number, Connection>();
  const send = child.send.bind(child) as (...args: readonly unknown[]) => boolean;
  child.send = (message: unknown, connection?: unknown, ...others: readonly unknown[]) => {
    if (isNewConnection(message) && isConnection(connection)) handed.set(message.seq, connection);
    return send(message, connection, ...others);
  };
  child.on('internalMessage', (message: { readonly ack?: number }) => {
    if (message.ack !== undefined) handed.delete(message.ack);
  });
  const close = () => {
    for (const connection of handed.values()) connection.close();
    handed.clear();
  };
  // Between the two, in either order, node:cluster may hand it another.
  worker.on('exit', close);
  worker.on('disconnect', close);
}

function isNewConnection(message: unknown): message is NewConnection {
  const { cmd, act } = (message ?? {}) as Partial<NewConnection>;
  return cmd === 'NODE_CLUSTER' && act === 'newconn';
}

function isConnection(value: unknown): value is Connection {
  return typeof (value as Partial<Connection> | undefined)?.close === 'function';
}
