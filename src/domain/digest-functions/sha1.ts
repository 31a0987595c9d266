import { cryptoDigestFunction } from './crypto-digest-function.ts';

/** SHA-1, for clients that have it from old: collisions of it can be made, so that it is no choice for new ones. */
export const SHA1 = cryptoDigestFunction('SHA1', 2, 'sha1', 40);
