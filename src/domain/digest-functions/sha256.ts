import { cryptoDigestFunction } from './crypto-digest-function.ts';

/** SHA-256, the function that every client speaks. */
export const SHA256 = cryptoDigestFunction('SHA256', 1, 'sha256', 64);
