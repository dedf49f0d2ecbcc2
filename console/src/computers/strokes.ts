/** A text as key strokes of an American keyboard, which is what machines take the keyboard of their screen for. Pure. */

export const SHIFT = 0xffe1;
const NAMED: Record<string, number> = { "\n": 0xff0d, "\t": 0xff09 };
const SHIFTED = /[A-Z~!@#$%^&*()_+{}|:"<>?]/;
const NO_KEY = /[^\n\t\x20-\x7e]/gu;

export interface Stroke {
  keysym: number;
  shift: boolean;
}

/** Characters without a key are left out. */
export function strokesOf(text: string): Stroke[] {
  const typed = text.replaceAll("\r\n", "\n").replaceAll(NO_KEY, "");
  return [...typed].map((char) => ({ keysym: NAMED[char] ?? char.charCodeAt(0), shift: SHIFTED.test(char) }));
}

/** The characters that have no key, each once. */
export function withoutKey(text: string): string[] {
  return [...new Set(text.replaceAll("\r\n", "\n").match(NO_KEY))];
}
