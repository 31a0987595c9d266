import { cryptoDigestFunction } from './crypto-digest-function.ts';

/** SHA-384. */
export const SHA384 = cryptoDigestFunction('SHA384', 5, 'sha384', 96);
