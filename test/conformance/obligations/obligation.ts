/** What a clause of a protocol asks of a server, and the titles of the cases that hold a server to it. */
export type Obligation = readonly [obligation: string, ...cases: readonly string[]];

/** The obligations of one call or message. */
export interface Clause {
  /** As the protocol names it. */
  readonly name: string;
  /** The blocks of the suite in which the cases stand. */
  readonly blocks: readonly string[];
  readonly obligations: readonly Obligation[];
}

/** The obligations of one file of the protocols. */
export interface Protocol {
  readonly file: string;
  readonly clauses: readonly Clause[];
}
