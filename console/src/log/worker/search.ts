/** Which lines have a text, taken as it is, without colour codes; capitals count only where the query has one. */

import { Growing } from "./growing.ts";
import type { LineStore } from "./store.ts";

const TURN_MS = 8;
const LINES = 20_000;

export interface Query {
  id: number;
  text: string;
  regex: boolean;
}

/** Looks through lines whenever it is told to; `matches` are lines. */
export interface Search {
  readonly query: Query;
  readonly matches: Growing;
  /** Why it was ended before it was through. */
  readonly problem: string;
  readonly done: boolean;
  /** Goes on for a few milliseconds. */
  turn(): Promise<void> | void;
}

export class TextSearch implements Search {
  readonly matches = new Growing();
  readonly problem = "";
  readonly query: Query;
  #next = 0;
  #store: LineStore;
  #scan: (from: number, to: number) => number;

  constructor(store: LineStore, query: Query) {
    this.#store = store;
    this.query = query;
    const exact = isExact(query.text);
    if (exact || isAscii(query.text)) {
      const table = skipTable(new TextEncoder().encode(query.text), exact);
      this.#scan = (from) => this.#byBytes(from, table);
    } else {
      this.#scan = (from, to) => this.#byLine(from, to, query.text.toLowerCase());
    }
  }

  get done(): boolean {
    return this.#next >= this.#store.count;
  }

  turn(): void {
    const until = performance.now() + TURN_MS;
    while (!this.done && performance.now() < until) {
      this.#next = this.#scan(this.#next, Math.min(this.#store.count, this.#next + LINES));
    }
  }

  /** For texts that are in no line of plain ASCII. */
  #byLine(from: number, to: number, wanted: string): number {
    for (let line = from; line < to; line++) {
      if (!this.#store.isWide(line)) continue;
      if (this.#store.plain(line).toLowerCase().includes(wanted)) this.matches.push(line);
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

/** Whether capitals count. */
export function isExact(text: string): boolean {
  return text !== text.toLowerCase();
}

function isAscii(text: string): boolean {
  return /^[\x00-\x7f]*$/.test(text);
}
