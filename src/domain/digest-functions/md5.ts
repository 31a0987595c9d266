import { cryptoDigestFunction } from './crypto-digest-function.ts';

/** MD5, for clients that have it from old: collisions of it are easily made, so that it is no choice for new ones. */
export const MD5 = cryptoDigestFunction('MD5', 3, 'md5', 32);
