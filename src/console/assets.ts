/** The style of the page. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --back: #f6f5f2; --sheet: #ffffff; --line: #e3e0d8; --ink: #24221e; --quiet: #6d685e;
  --accent: #8a4b2a; --good: #2c7a4b; --warn: #9a6a00; --bad: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --back: #191816; --sheet: #22211e; --line: #37342e; --ink: #ece8df; --quiet: #a09a8d;
    --accent: #e0a37e; --good: #6fc391; --warn: #e2b340; --bad: #f2857d;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--ink); font: 14px/1.45 system-ui, sans-serif; }
header {
  display: flex; flex-wrap: wrap; align-items: baseline; gap: 4px 16px; padding: 14px 24px;
  background: var(--sheet); border-bottom: 1px solid var(--line); position: sticky; top: 0; z-index: 1;
}
h1 { margin: 0; font-size: 20px; color: var(--accent); letter-spacing: .02em; }
header p { margin: 0; }
header input { margin-left: auto; padding: 4px 10px; font: inherit; color: inherit; background: var(--back);
  border: 1px solid var(--line); border-radius: 6px; width: 220px; }
main { padding: 18px 24px 48px; max-width: 1600px; margin: 0 auto; }
h2 { font-size: 15px; margin: 26px 0 8px; }
h2 .quiet { font-weight: normal; font-size: 13px; margin-left: 6px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; }
.card { background: var(--sheet); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.card h2 { margin: 0; font-size: 12px; font-weight: 600; color: var(--quiet); }
.card p { margin: 0; }
.figure { font-size: 24px; font-weight: 600; font-variant-numeric: tabular-nums; white-space: nowrap; }
.card .quiet { font-size: 12px; }
.quiet { color: var(--quiet); }
.none { margin: 0; }
.good { color: var(--good); }
.warn { color: var(--warn); font-weight: 600; }
.bad { color: var(--bad); }
.problem { background: var(--sheet); border: 1px solid var(--bad); border-radius: 10px; padding: 10px 14px; margin: 0 0 16px; }
.stale main { opacity: .55; }
.scroll { overflow-x: auto; background: var(--sheet); border: 1px solid var(--line); border-radius: 10px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-size: 12px; font-weight: 600; color: var(--quiet); white-space: nowrap; }
th, td { padding: 7px 12px; border-top: 1px solid var(--line); vertical-align: top; }
thead th { border-top: 0; }
tbody tr:hover { background: color-mix(in srgb, var(--accent) 6%, transparent); }
td { max-width: 420px; overflow-wrap: anywhere; }
td strong { font-weight: 600; }
code { font: 12px ui-monospace, monospace; }
td:has(form) { text-align: right; width: 1%; }
form { margin: 0; }
button { font: inherit; font-size: 12px; padding: 2px 10px; color: var(--accent); background: none;
  border: 1px solid var(--accent); border-radius: 6px; cursor: pointer; white-space: nowrap; }
button:hover { background: var(--accent); color: var(--sheet); }
`;

/** Fetches the changing part again and again, and filters rows. Without it the page loads itself anew. */
export const SCRIPT = `
'use strict';
const view = document.getElementById('view');
const age = document.getElementById('age');
const filter = document.getElementById('filter');
let readAt = Date.now();

function showFiltered() {
  const wanted = filter.value.trim().toLowerCase();
  for (const row of view.querySelectorAll('tbody tr')) {
    row.hidden = wanted !== '' && !row.textContent.toLowerCase().includes(wanted);
  }
}

async function refresh() {
  // Who selects text to copy it wants it to stay.
  const isSelecting = !document.getSelection().isCollapsed && view.contains(document.getSelection().anchorNode);
  if (document.hidden || isSelecting) return;
  const response = await fetch('view', { signal: AbortSignal.timeout(10000) });
  if (!response.ok) throw new Error(String(response.status));
  view.innerHTML = await response.text();
  readAt = Date.now();
  showFiltered();
}

function showAge() {
  const seconds = Math.round((Date.now() - readAt) / 1000);
  document.body.classList.toggle('stale', seconds > 10);
  age.textContent = seconds < 3 ? 'live' : seconds + ' s old';
}

async function run() {
  for (;;) {
    await refresh().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, 2000));
  }
}

filter.hidden = false;
filter.addEventListener('input', showFiltered);
setInterval(showAge, 1000);
document.addEventListener('visibilitychange', () => void refresh().catch(() => {}));
showAge();
void run();
`;
