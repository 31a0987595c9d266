import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { loadScripts } from './scripts.ts';

const folder = new URL('./lua/', import.meta.url);
const files = readdirSync(folder).filter((each) => each.endsWith('.lua'));

describe('the scripts', () => {
  test('are those of the folder, all of them', () => {
    expect([...loadScripts(7).keys()].map((name) => `${name}.lua`).sort()).toEqual(files.sort());
  });

  test('hold every fragment that they include once, and no include any more', () => {
    const source = loadScripts(7).get('tick')?.source ?? '';
    expect(source).not.toContain('--- include');
    expect(source.split('local function load_job(')).toHaveLength(2);
  });

  test('that only bring what there is to its end may run when memory is full, where the server can do that', () => {
    expect(loadScripts(7).get('complete')?.source).toMatch(/^#!lua flags=allow-oom\n--/);
    expect(loadScripts(7).get('submit')?.source).toMatch(/^--/);
    expect(loadScripts(6).get('complete')?.source).toMatch(/^--/);
  });

  test.each(files)('%s says what it guarantees, takes and returns', (file) => {
    const [header = ''] = readFileSync(new URL(file, folder), 'utf8').split('\n\n', 1);
    expect(header).toMatch(/^-- Guarantee: /m);
    expect(header).toMatch(/^-- KEYS\[1/m);
    expect(header).toMatch(/^-- Returns /m);
  });
});
