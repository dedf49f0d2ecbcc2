/** Colour codes (SGR) → runs of text with one style each. A line begins plain. Pure. */

/** A palette number (0–255), or 256 + 0xRRGGBB, or null for the page's own. */
export type Colour = number | null;

export interface Style {
  fore: Colour;
  back: Colour;
  bold: boolean;
  dim: boolean;
  italic: boolean;
  underline: boolean;
  strike: boolean;
  inverse: boolean;
}

/** `style` is null for plain text. */
export interface Run {
  text: string;
  style: Style | null;
}

const PLAIN: Style = {
  fore: null,
  back: null,
  bold: false,
  dim: false,
  italic: false,
  underline: false,
  strike: false,
  inverse: false,
};
const CODE = /\x1b\[([0-9;:]*)m/g;

export function readRuns(line: string): Run[] {
  if (!line.includes("\x1b")) return [{ text: line, style: null }];
  const runs: Run[] = [];
  let style = PLAIN;
  let done = 0;
  const push = (text: string) => {
    if (text !== "") runs.push({ text, style: style === PLAIN ? null : style });
  };
  for (const code of line.matchAll(CODE)) {
    push(line.slice(done, code.index));
    style = applied(style, code[1]!);
    done = code.index + code[0].length;
  }
  push(line.slice(done));
  return runs;
}

function applied(before: Style, parameters: string): Style {
  let style = { ...before };
  const codes = parameters.replaceAll(":", ";").split(";").map(Number);
  for (let place = 0; place < codes.length; place++) {
    const code = codes[place]!;
    if (code === 38 || code === 48) {
      const [colour, used] = extended(codes, place + 1);
      if (colour !== null) style[code === 38 ? "fore" : "back"] = colour;
      place += used;
    } else style = simple(style, code);
  }
  return isPlain(style) ? PLAIN : style;
}

function simple(style: Style, code: number): Style {
  if (code === 0) return { ...PLAIN };
  if (code === 1) return { ...style, bold: true };
  if (code === 2) return { ...style, dim: true };
  if (code === 3) return { ...style, italic: true };
  if (code === 4 || code === 21) return { ...style, underline: true };
  if (code === 7) return { ...style, inverse: true };
  if (code === 9) return { ...style, strike: true };
  if (code === 22) return { ...style, bold: false, dim: false };
  if (code === 23) return { ...style, italic: false };
  if (code === 24) return { ...style, underline: false };
  if (code === 27) return { ...style, inverse: false };
  if (code === 29) return { ...style, strike: false };
  if (code >= 30 && code <= 37) return { ...style, fore: code - 30 };
  if (code === 39) return { ...style, fore: null };
  if (code >= 40 && code <= 47) return { ...style, back: code - 40 };
  if (code === 49) return { ...style, back: null };
  if (code >= 90 && code <= 97) return { ...style, fore: code - 82 };
  if (code >= 100 && code <= 107) return { ...style, back: code - 92 };
  return style;
}

/** `5;n` or `2;r;g;b` behind 38 and 48: the colour and how many numbers it took. */
function extended(codes: number[], at: number): [Colour, number] {
  if (codes[at] === 5) {
    const number = codes[at + 1];
    return [number !== undefined && number < 256 ? number : null, 2];
  }
  if (codes[at] === 2) {
    const parts = codes.slice(at + 1, at + 4);
    const fits = parts.length === 3 && parts.every((part) => part < 256);
    return [fits ? 256 + (parts[0]! << 16) + (parts[1]! << 8) + parts[2]! : null, 4];
  }
  return [null, codes.length];
}

function isPlain(style: Style): boolean {
  return (Object.keys(PLAIN) as (keyof Style)[]).every((key) => style[key] === PLAIN[key]);
}
