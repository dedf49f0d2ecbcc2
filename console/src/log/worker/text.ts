/** The bytes of JSON strings and colour codes: what the parser and the store share. Pure. */

export const HAS_ESCAPE = 1;
export const HAS_WIDE = 2;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const SHORT: Record<number, number> = {
  0x22: 0x22,
  0x5c: 0x5c,
  0x2f: 0x2f,
  0x62: 0x08,
  0x66: 0x0c,
  0x6e: 0x0a,
  0x72: 0x0d,
  0x74: 0x09,
};

/** What `readString` found: bytes written, HAS_ESCAPE | HAS_WIDE. One object, filled anew by each call. */
export const found = { length: 0, flags: 0 };

/** Writes the JSON string's content `source[from..to)` as UTF-8 to `into[at…]`. False where it is no such content (an
 * unescaped quote, a broken escape): then the caller reads the frame with JSON.parse. Never writes more than to - from. */
export function readString(source: Uint8Array, from: number, to: number, into: Uint8Array, at: number): boolean {
  let place = at;
  let flags = 0;
  for (let next = from; next < to;) {
    const byte = source[next++]!;
    if (byte !== BACKSLASH) {
      if (byte === QUOTE || byte < 0x20) return false;
      if (byte > 0x7f) flags |= HAS_WIDE;
      into[place++] = byte;
      continue;
    }
    const kind = source[next++];
    if (kind !== 0x75) {
      const short = kind === undefined ? undefined : SHORT[kind];
      if (short === undefined || next > to) return false;
      into[place++] = short === 0x0a ? 0x20 : short; // a line is one line, whoever sent it
      continue;
    }
    let code = hex4(source, next, to);
    if (code < 0) return false;
    next += 4;
    if (code >= 0xd800 && code < 0xdc00 && source[next] === BACKSLASH && source[next + 1] === 0x75) {
      const low = hex4(source, next + 2, to);
      if (low >= 0xdc00 && low < 0xe000) {
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
        next += 6;
      }
    }
    if (code === 0x1b) flags |= HAS_ESCAPE;
    else if (code > 0x7f) flags |= HAS_WIDE;
    place = writeUtf8(code === 0x0a ? 0x20 : code, into, place);
  }
  found.length = place - at;
  found.flags = flags;
  return true;
}

/** Where the colour code that begins at `at` (an ESC) ends; -1 where none begins. */
export function codeEnd(bytes: Uint8Array, at: number, to: number): number {
  if (bytes[at + 1] !== 0x5b) return -1;
  for (let next = at + 2; next < to; next++) {
    const byte = bytes[next]!;
    if (byte === 0x6d) return next + 1;
    if ((byte < 0x30 || byte > 0x39) && byte !== 0x3b && byte !== 0x3a) return -1;
  }
  return -1;
}

function hex4(source: Uint8Array, at: number, to: number): number {
  if (at + 4 > to) return -1;
  let code = 0;
  for (let place = at; place < at + 4; place++) {
    const byte = source[place]!;
    const digit = byte <= 0x39 ? byte - 0x30 : (byte | 0x20) - 0x57;
    if (digit < 0 || digit > 15 || (byte > 0x39 && digit < 10)) return -1;
    code = code * 16 + digit;
  }
  return code;
}

function writeUtf8(code: number, into: Uint8Array, place: number): number {
  if (code < 0x80) {
    into[place] = code;
    return place + 1;
  }
  if (code < 0x800) {
    into[place] = 0xc0 | (code >> 6);
    into[place + 1] = 0x80 | (code & 0x3f);
    return place + 2;
  }
  if (code >= 0xd800 && code < 0xe000) code = 0xfffd; // half of a pair is no character
  if (code < 0x10000) {
    into[place] = 0xe0 | (code >> 12);
    into[place + 1] = 0x80 | ((code >> 6) & 0x3f);
    into[place + 2] = 0x80 | (code & 0x3f);
    return place + 3;
  }
  into[place] = 0xf0 | (code >> 18);
  into[place + 1] = 0x80 | ((code >> 12) & 0x3f);
  into[place + 2] = 0x80 | ((code >> 6) & 0x3f);
  into[place + 3] = 0x80 | (code & 0x3f);
  return place + 4;
}
