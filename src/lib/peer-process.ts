/** Another process of this program, that listens and talks. */
export interface PeerProcess {
  /** Never throws: a process that has gone hears nothing. */
  send(message: object): void;
  /** Calls the listener for each message. What comes before there is one is lost. */
  onMessage(listener: (message: unknown) => void): void;
}

/** What a primary process sends to those that share its port when they are to end: in good order, or at once. */
export type EndMessage = { readonly kind: 'stop' } | { readonly kind: 'force' };

/** Whether a message is of this kind. */
export function isMessage<Kind extends string>(message: unknown, kind: Kind): message is { readonly kind: Kind } {
  return typeof message === 'object' && message !== null && (message as { kind?: unknown }).kind === kind;
}
