import type { Duplex } from 'node:stream';

/**
 * Sends all writes of one turn of the event loop out together.
 *
 * A client library writes one frame at a time; each write is a system call, and system calls are the largest part of a
 * busy replica's time. The first write of a turn corks the stream, the end of the turn lets it go. Must be applied
 * again to every new connection.
 */
export function corkWrites(stream: Duplex): void {
  const write = stream.write.bind(stream) as (...args: unknown[]) => boolean;
  let corked = false;
  const corkingWrite = (...args: unknown[]): boolean => {
    if (!corked) {
      corked = true;
      stream.cork();
      setImmediate(() => {
        corked = false;
        stream.uncork();
      });
    }
    return write(...args);
  };
  stream.write = corkingWrite as typeof stream.write;
}
