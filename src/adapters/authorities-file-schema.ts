import { z } from 'zod';

/** The setting of whoever connects with TLS: whom to trust. */
export const authoritiesFileSchema = z
  .string()
  .min(1)
  .optional()
  .describe(
    "PEM file with the authorities that may have signed the server's certificate; default those that Node knows. " +
      'Read once, at the start.',
  );
