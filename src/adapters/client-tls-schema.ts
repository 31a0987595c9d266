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

/** The files of whoever connects with TLS: whom to trust, and who it is itself. Goes with `checkClientTls`. */
export const clientTlsShape = {
  authoritiesFile: authoritiesFileSchema,
  certificateFile: z
    .string()
    .min(1)
    .optional()
    .describe(
      'PEM file with the certificate that is shown to the server; default none, which servers that ask for one refuse.',
    ),
  privateKeyFile: z
    .string()
    .min(1)
    .optional()
    .describe('PEM file with its private key; default none. Goes with certificateFile.'),
};

/** The setting of whoever connects to a server whose certificate does not bear the name of the address. */
export const serverNameSchema = z
  .string()
  .min(1)
  .optional()
  .describe("The name that the server's certificate must bear; default the address's host.");

/** What holds between those settings. */
export function checkClientTls(context: z.core.ParsePayload<z.output<z.ZodObject<typeof clientTlsShape>>>): void {
  const { certificateFile, privateKeyFile } = context.value;
  if ((certificateFile === undefined) === (privateKeyFile === undefined)) return;
  context.issues.push({
    code: 'custom',
    input: context.value,
    message: 'certificateFile and privateKeyFile go together',
  });
}
