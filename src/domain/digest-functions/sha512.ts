import { cryptoDigestFunction } from './crypto-digest-function.ts';

/** SHA-512. */
export const SHA512 = cryptoDigestFunction('SHA512', 6, 'sha512', 128);
