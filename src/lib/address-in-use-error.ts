/** An address cannot be listened on, mostly because another process does. */
export class AddressInUseError extends Error {
  constructor(address: string, cause: unknown) {
    super(`cannot listen on ${address}`, { cause });
    this.name = 'AddressInUseError';
  }
}
