import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { PROTOCOLS } from '../conformance/obligations/protocols.ts';
import { WITHOUT_CASE } from '../conformance/obligations/without-case.ts';

/** docs/protocol/obligations.md is made of the list of obligations and of the titles of the cases that hold to them. */

const ROOT = join(import.meta.dirname, '../..');

interface Case {
  readonly file: string;
  /** Those of the `describe` around it. */
  readonly block: string;
  readonly title: string;
}

/** What is filled in when the tests run stands as an ellipsis. */
const plain = (title: string) => title.replace(/\$\{[^}]*\}|%[sj]/g, '…').replaceAll("\\'", "'");

const BLOCK = /^ *describe(?:\.each\([^()]*\))?\((['"`])(.*)\1,/;

/** The title on the line of the call, on the next one, or behind the table of an `each`. */
const TITLES = [/^ *(?:it|choice)(?:\.(?:for|each)\([^()]*\))?\((['"`])(.*)\1, /, /^ *\]\)\((['"`])(.*)\1, /];
const LONE_TITLE = /^ *(['"`])(.*)\1,$/;

async function casesOf(folder: string, file: string): Promise<Case[]> {
  const lines = (await readFile(join(ROOT, folder, file), 'utf8')).split('\n');
  const cases: Case[] = [];
  let block = '';
  for (const [index, line] of lines.entries()) {
    block = BLOCK.exec(line)?.[2] ?? block;
    const isAbove = /^ *(?:it|choice)\($/.test(lines[index - 1] ?? '');
    const title = [...TITLES, ...(isAbove ? [LONE_TITLE] : [])].map((form) => form.exec(line)?.[2]).find(Boolean);
    if (title !== undefined) cases.push({ file, block: plain(block), title: plain(title) });
  }
  return cases;
}

/** Obligations of a server are held to by the conformance suite, those of a worker by the tests of ours. */
const FOLDERS = ['test/conformance', 'src/worker'];

async function allCases(): Promise<Case[]> {
  const cases = FOLDERS.map(async (folder) => {
    const files = (await readdir(join(ROOT, folder))).filter((name) => name.endsWith('.test.ts')).sort();
    return Promise.all(files.map((file) => casesOf(folder, file)));
  });
  return (await Promise.all(cases)).flat(2);
}

const clauses = PROTOCOLS.flatMap((protocol) => protocol.clauses);

describe('the obligations of the protocols', () => {
  it('name only cases that there are', async () => {
    const cases = await allCases();
    const named = clauses.flatMap(({ name, blocks, obligations }) =>
      obligations.flatMap(([, ...titles]) => titles.map((title) => ({ name, blocks, title }))),
    );
    const unknown = named.filter(({ blocks, title }) => !cases.some((each) => isCase(each, blocks, title)));
    expect(unknown.map(({ name, title }) => `${name}: ${title}`)).toEqual([]);
  });

  it('are each held by a case', () => {
    const without = clauses.flatMap(({ obligations }) => obligations.filter(([, ...titles]) => titles.length === 0));
    expect(without).toEqual([]);
  });

  it('stand in docs/protocol/obligations.md; vitest --update writes it', async () => {
    await expect(rendered(await allCases())).toMatchFileSnapshot(join(ROOT, 'docs/protocol/obligations.md'));
  });
});

function isCase(each: Case, blocks: readonly string[], title: string): boolean {
  return each.title === title && blocks.includes(each.block);
}

function rendered(cases: readonly Case[]): string {
  const lines = [
    '# Obligations and their cases',
    '',
    'What the protocols ask of a server, in our words, and the cases of the [conformance suite](../conformance.md) that',
    'hold a server to it; what they ask of a worker is held to by the tests of ours, in `src/worker`. Made from',
    '`test/conformance/obligations`: do not edit it here;',
    '`node_modules/.bin/vitest run --project integration test/integration/obligations.test.ts --update` writes it anew.',
  ];
  for (const protocol of PROTOCOLS) {
    lines.push('', `## ${protocol.file}`);
    for (const { name, blocks, obligations } of protocol.clauses) {
      lines.push('', `### ${name}`, '');
      for (const [obligation, ...titles] of obligations) {
        lines.push(`- ${obligation}`);
        for (const title of titles) {
          const found = cases.filter((each) => isCase(each, blocks, title));
          const files = [...new Set(found.map(({ file }) => file))];
          lines.push(`  - ${title} (\`${files.join('`, `')}\`)`);
        }
      }
    }
  }
  lines.push('', '## Without a case', '', 'What no case holds a server to, and why.', '');
  for (const [what, why] of WITHOUT_CASE) lines.push(`- ${what}: ${why}`);
  lines.push('', 'What is checked beyond these (bad input, choices of Warren) is in the suite itself.');
  return `${lines.join('\n')}\n`;
}
