import { describe, expect, it } from 'vitest';
import { LiveDisplay } from './live-display.ts';

function createDisplay(isTTY: boolean) {
  let text = '';
  const write = (piece: string | Uint8Array) => {
    text += String(piece);
  };
  const output = { write, isTTY, columns: 10 };
  return { display: new LiveDisplay(output), output, text: () => text };
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

  it('cuts lines so that they fit with the ^C that a terminal prints behind them', () => {
    const { display, text } = createDisplay(true);
    display.show(['0123456', '01234567']);
    expect(text()).toBe('0123456\n012345…');
  });

  it('counts letters that take two columns', () => {
    const { display, text } = createDisplay(true);
    display.show(['界界界', '界界界界', '🚀🚀🚀0']);
    expect(text()).toBe('界界界\n界界界…\n🚀🚀🚀0');
  });

  it('wipes out the rows into which a terminal that has become narrower broke its lines', () => {
    const { display, output, text } = createDisplay(true);
    display.show(['0123456', 'ab']);
    output.columns = 3;
    display.show([]);
    expect(text()).toBe('0123456\nab\u001b[3A\r\u001b[J');
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
