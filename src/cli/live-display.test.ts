import { describe, expect, it } from 'vitest';
import { LiveDisplay } from './live-display.ts';

function createDisplay(isTTY: boolean) {
  let text = '';
  const write = (piece: string | Uint8Array) => {
    text += String(piece);
  };
  return { display: new LiveDisplay({ write, isTTY, columns: 10 }), text: () => text };
}

describe('LiveDisplay', () => {
  it('draws its lines over, and keeps the log above them', () => {
    const { display, text } = createDisplay(true);
    display.show(['one', 'two']);
    display.log('logged');
    display.show(['three']);
    display.show([]);
    const up = '\u001b[1A';
    const wipe = '\r\u001b[J';
    expect(text()).toBe(`one\ntwo${up}${wipe}logged\none\ntwo${up}${wipe}three${wipe}`);
  });

  it('cuts lines that would wrap', () => {
    const { display, text } = createDisplay(true);
    display.show(['0123456789']);
    expect(text()).toBe('01234567…');
  });

  it('lets no name of a client move the cursor', () => {
    const { display, text } = createDisplay(true);
    display.show(['a\u001b[2J']);
    expect(text()).toBe('a?[2J');
  });

  it('draws nothing where nobody watches', () => {
    const { display, text } = createDisplay(false);
    display.show(['one']);
    display.log('logged');
    expect(text()).toBe('logged\n');
  });
});
