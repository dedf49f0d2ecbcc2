/** Which lines have a text. Literal, without colour codes; capitals count only where the query has one. */

import { Growing } from "./growing.ts";
import type { LineStore } from "./store.ts";

const TURN_MS = 8;
const LINES = 20_000;

export interface Query {
  id: number;
  text: string;
  regex: boolean;
}

/** Looks through lines from `next` on whenever it is told to; `matches` are lines. */
export class Search {
  readonly matches = new Growing();
  next = 0;
  readonly query: Query;
  #store: LineStore;
  #scan: (from: number, to: number) => number;

  /** Raises SyntaxError for an expression that is none. */
  constructor(store: LineStore, query: Query) {
    this.#store = store;
    this.query = query;
    const exact = query.text !== query.text.toLowerCase();
    if (query.regex) {
      const expression = new RegExp(query.text, exact ? "u" : "iu");
      this.#scan = (from, to) => this.#byLine(from, to, (line) => expression.test(line));
    } else if (exact || isAscii(query.text)) {
      const table = skipTable(new TextEncoder().encode(query.text), exact);
      this.#scan = (from) => this.#byBytes(from, table);
    } else {
      const wanted = query.text.toLowerCase();
      this.#scan = (from, to) => this.#byLine(from, to, (line) => line.toLowerCase().includes(wanted), true);
    }
  }

  get done(): boolean {
    return this.next >= this.#store.count;
  }

  /** Goes on for about 8 ms; whether it has come to the end. */
  turn(): boolean {
    const until = performance.now() + TURN_MS;
    while (!this.done && performance.now() < until) {
      this.next = this.#scan(this.next, Math.min(this.#store.count, this.next + LINES));
    }
    return this.done;
  }

  #byLine(from: number, to: number, fits: (line: string) => boolean, onlyWide = false): number {
    for (let line = from; line < to; line++) {
      if (onlyWide && !this.#store.isWide(line)) continue;
      if (fits(this.#store.plain(line))) this.matches.push(line);
    }
    return to;
  }

  /** Horspool's search through the bytes that many lines share; no needle has a line break. */
  #byBytes(from: number, table: SkipTable): number {
    const { fold, needle, skip } = table;
    const { bytes, from: begin, end, last } = this.#store.block(from);
    const chunk = this.#store.chunkOf(from);
    const length = needle.length;
    const tail = needle[length - 1]!;
    let line = from;
    for (let place = begin + length - 1; place < end;) {
      const byte = fold[bytes[place]!]!;
      if (byte !== tail || !isHere(bytes, place - length + 1, needle, fold)) {
        place += skip[byte]!;
        continue;
      }
      line = this.#store.lineAt(chunk, place, line);
      this.matches.push(line);
      place = this.#store.lineEnd(line) + length;
    }
    return last + 1;
  }
}

interface SkipTable {
  needle: Uint8Array;
  fold: Uint8Array;
  skip: Uint32Array;
}

function skipTable(text: Uint8Array, exact: boolean): SkipTable {
  const fold = Uint8Array.from({ length: 256 }, (_, byte) =>
    !exact && byte >= 0x41 && byte <= 0x5a ? byte + 32 : byte,
  );
  const needle = text.map((byte) => fold[byte]!);
  const skip = new Uint32Array(256).fill(needle.length);
  for (let place = 0; place < needle.length - 1; place++) skip[needle[place]!] = needle.length - 1 - place;
  return { needle, fold, skip };
}

function isHere(bytes: Uint8Array, at: number, needle: Uint8Array, fold: Uint8Array): boolean {
  for (let place = needle.length - 2; place >= 0; place--) {
    if (fold[bytes[at + place]!] !== needle[place]) return false;
  }
  return true;
}

function isAscii(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text);
}
