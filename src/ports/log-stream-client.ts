/**
 * The log streams of a server, as a writer sees them.
 *
 * Errors are StatusErrors with the server's code; an aborted call throws the signal's reason.
 */
export interface LogStreamClient {
  /**
   * Waits until the server wants the stream, which may be until somebody reads it.
   *
   * @param name the name to write.
   * @returns how many bytes it has.
   * @throws NOT_FOUND when it does not want it at all; DEADLINE_EXCEEDED when it wants it not yet.
   */
  committedSize(name: string, timeoutMilliseconds: number, signal: AbortSignal): Promise<number>;

  /**
   * Adds to the end of what it has.
   *
   * @param finish whether nothing follows.
   * @returns how many bytes it has now.
   */
  write(name: string, offset: number, data: Uint8Array, finish: boolean, signal: AbortSignal): Promise<number>;
}
