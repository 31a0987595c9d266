/**
 * Compares texts by code point, which is the order of their UTF-8 bytes and the one that REAPI asks of every sorted
 * list. JavaScript's own comparison differs where a text holds characters beyond U+FFFF.
 *
 * @returns negative, zero or positive, as for `Array.sort`.
 */
export function compareCodePoints(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) return rank(x) - rank(y);
  }
  return a.length - b.length;
}

/** Surrogates stand for code points above all others, but lie below U+E000 to U+FFFF. */
function rank(unit: number): number {
  if (unit < 0xd800) return unit;
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000;
}
