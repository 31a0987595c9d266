import { tmpdir } from 'node:os';
import ipaddr from 'ipaddr.js';
import { z } from 'zod';

const GIBIBYTE = 1024 ** 3;

/** How content comes from where it was published. Example: `{ allowedHosts: ["*.example.com"], schemes: ["https"] }`. */
export const originSchema = z
  .strictObject({
    enabled: z
      .boolean()
      .default(true)
      .describe('Whether URLs that nobody has pushed are downloaded; default true. Without it only pushes are known.'),
    schemes: z
      .array(z.enum(['http', 'https']))
      .min(1)
      .default(['http', 'https'])
      .describe('Which URLs are downloaded, redirects included; default both.'),
    allowedHosts: z
      .array(z.string().regex(/^(\*|(\*\.)?[a-z0-9._-]+)$/, 'must be a host name in lower case, *.DOMAIN or *'))
      .min(1)
      .default(['*'])
      .describe(
        'Hosts that may be asked, redirects included: `example.com`, `*.example.com` for all below it, or `*`, the default.',
      ),
    allowedNetworks: z
      .array(z.string().refine((text) => ipaddr.isValidCIDR(text), 'must be a network such as 10.1.0.0/16 or fd00::/8'))
      .default([])
      .describe(
        'Networks that may be asked though they are not public: private, loopback, link-local and multicast addresses ' +
          'are refused otherwise, whatever name leads to them; default none. Name only those whose every service ' +
          'clients may read.',
      ),
    maximumSizeBytes: z
      .int()
      .min(1)
      .default(4 * GIBIBYTE)
      .describe('The largest download in bytes; default 4 GiB. limits.maxBlobSizeBytes holds as well.'),
    maximumUnpackedBytes: z
      .int()
      .min(1)
      .default(8 * GIBIBYTE)
      .describe('What an archive may unpack to in bytes; default 8 GiB. maximumSizeBytes holds for each file in it.'),
    maximumEntries: z
      .int()
      .min(1)
      .max(5_000_000)
      .default(200_000)
      .describe('Files, folders and symlinks that an archive may hold; default 200 000.'),
    timeoutSeconds: z
      .number()
      .positive()
      .max(86_400)
      .default(600)
      .describe('How long a download may take where the client does not say, in seconds; default 600.'),
    maximumTimeoutSeconds: z
      .number()
      .positive()
      .max(86_400)
      .default(3_600)
      .describe('The longest time that a client may ask for, in seconds; default 3600. More is cut to it.'),
    idleTimeoutSeconds: z
      .number()
      .positive()
      .max(3_600)
      .default(30)
      .describe('How long an origin may be silent, connecting included, in seconds; default 30.'),
    maximumConcurrent: z
      .int()
      .min(1)
      .max(1_000)
      .default(16)
      .describe('Downloads at once; default 16. Further ones wait, and their time runs.'),
    maximumWaiting: z
      .int()
      .min(1)
      .default(1_000)
      .describe(
        'Downloads under way or waiting, those included whose callers have gone; default 1000. Beyond, callers get ' +
          'RESOURCE_EXHAUSTED with RetryInfo.',
      ),
    directory: z
      .string()
      .min(1)
      .prefault(() => tmpdir())
      .describe(
        "Folder for downloads whose checksum is not known yet; default the system's for temporary files. Needs room for " +
          'maximumConcurrent downloads, and for the largest file in each that is unpacked; nothing stays in it.',
      ),
  })
  .prefault({});

export type OriginConfiguration = z.output<typeof originSchema>;
