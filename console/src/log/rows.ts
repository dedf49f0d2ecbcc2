/** Rows that the page has of the worker's lines: those shown last, and asked for in one message at a time. */

import { signal } from "@preact/signals";
import type { Rows } from "./messages";

export interface Row {
  line: number;
  text: string;
  time: number;
  level: number;
}

const MOST_ROWS = 6000;
const MOST_TEXT = 8 * 1024 * 1024;

export class RowCache {
  /** Changes when rows came. */
  readonly version = signal(0);
  #rows = new Map<number, Row>(); // in the order of their use
  #size = 0;
  #asked: Set<number> | null = null;
  #next: number[] | null = null;
  #ask: (lines: Uint32Array) => void;

  constructor(ask: (lines: Uint32Array) => void) {
    this.#ask = ask;
  }

  get(line: number): Row | undefined {
    const row = this.#rows.get(line);
    if (row !== undefined) {
      this.#rows.delete(line);
      this.#rows.set(line, row);
    }
    return row;
  }

  /** Asks for those that are not here; only the newest wish counts while an answer is awaited. */
  want(lines: number[]): void {
    const missing = lines.filter((line) => !this.#rows.has(line) && !this.#asked?.has(line));
    if (this.#asked !== null) this.#next = lines;
    else if (missing.length > 0) {
      this.#asked = new Set(missing);
      this.#ask(Uint32Array.from(missing));
    }
  }

  take(rows: Rows): void {
    this.#asked = null;
    rows.texts.forEach((text, place) => {
      const line = rows.lines[place]!;
      if (this.#rows.has(line)) return;
      this.#rows.set(line, { line, text, time: rows.times[place]!, level: rows.levels[place]! });
      this.#size += text.length;
    });
    for (const [line, row] of this.#rows) {
      if (this.#rows.size <= MOST_ROWS && this.#size <= MOST_TEXT) break;
      this.#rows.delete(line);
      this.#size -= row.text.length;
    }
    this.version.value++;
    const next = this.#next;
    this.#next = null;
    if (next !== null) this.want(next);
  }

  clear(): void {
    this.#rows.clear();
    this.#size = 0;
    this.#next = null;
  }
}
