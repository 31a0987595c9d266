import type { PeerCertificate } from 'node:tls';
import { fitsPattern } from '../domain/bot-session.ts';
import type { Right } from '../domain/right.ts';
import { StatusCode } from '../domain/status-code.ts';
import { StatusError } from '../domain/status-error.ts';
import { rightOf } from './method-rights.ts';

/** What those may do whose certificate bears one of these names. */
export interface AccessRule {
  /** `*` in a name stands for any text. */
  readonly names: readonly string[];
  readonly rights: readonly Right[];
}

/** Who called, as far as the connection tells. */
export interface Caller {
  /**
   * The names that its certificate bears. Empty where it bears none or there is no certificate; undefined for whoever came
   * by the private socket, and is the user that runs this process.
   */
  readonly names: readonly string[] | undefined;
}

/** Who may call what, by the names of certificates. */
export class AccessRules {
  readonly #rules: readonly AccessRule[];

  constructor(rules: readonly AccessRule[]) {
    this.#rules = rules;
  }

  /**
   * Lets a call pass.
   *
   * @param path such as `/google.bytestream.ByteStream/Read`.
   * @throws UNAUTHENTICATED when the caller has no name; PERMISSION_DENIED when no rule gives it the right.
   */
  check(path: string, { names }: Caller): void {
    // What nobody thought of is for operators.
    const right = rightOf(path) ?? 'operate';
    if (right === 'none' || names === undefined) return;
    const needs = `${path.slice(1)} needs the right '${right}' (server.access)`;
    if (names.length === 0) {
      throw new StatusError(StatusCode.UNAUTHENTICATED, `${needs}, and the client's certificate bears no name`);
    }
    const hasRight = this.#rules.some(
      (rule) =>
        rule.rights.includes(right) && rule.names.some((pattern) => names.some((name) => fitsPattern(pattern, name))),
    );
    if (hasRight) return;
    throw new StatusError(StatusCode.PERMISSION_DENIED, `${needs}, which no rule gives to ${shown(names)}`);
  }
}

/** Certificates may bear thousands. */
function shown(names: readonly string[]): string {
  const first = names.slice(0, 3).map((name) => `'${name.slice(0, 100)}'`);
  return `${first.join(', ')}${names.length > first.length ? ` and ${names.length - first.length} more` : ''}`;
}

/** Common name and alternative names of a certificate, each once. */
export function namesOf(certificate: Partial<Pick<PeerCertificate, 'subject' | 'subjectaltname'>>): string[] {
  // A subject may have several common names; the types know of one.
  const common = (certificate.subject as { CN?: string | readonly string[] } | undefined)?.CN ?? [];
  const names = new Set(typeof common === 'string' ? [common] : common);
  for (const [, kind = '', plain, quoted] of (certificate.subjectaltname ?? '').matchAll(ALTERNATIVE_NAME)) {
    const name = quoted === undefined ? plain : (JSON.parse(quoted) as string);
    if (NAMING_KINDS.has(kind) && name !== undefined && name !== '') names.add(name);
  }
  return [...names];
}

const NAMING_KINDS: ReadonlySet<string> = new Set(['DNS', 'URI', 'email', 'IP Address']);

/**
 * One name after the other; Node quotes as JSON what could be taken for several. Sticky, so that nothing within a name
 * counts as another, and what follows something unknown counts as none.
 */
const ALTERNATIVE_NAME = /(?:^|, )([\w ]+):(?:([^",]*)|("(?:[^"\\]|\\.)*"))(?=, |$)/gy;
