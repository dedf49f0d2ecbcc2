/** Every line of one attempt, as UTF-8 in chunks, without its colour codes: these stand apart, so that searching reads
 * plain text. 11 bytes a line besides its text; a coloured line has 8 more and its codes. */

import { codeEnd, found, HAS_ESCAPE, HAS_WIDE, readString } from "./text.ts";
import { Growing } from "./growing.ts";

const CHUNK_BITS = 20;
const CHUNK = 1 << CHUNK_BITS;
const PAGE_BITS = 16;
const PAGE = 1 << PAGE_BITS;
const NEWLINE = 0x0a;
const LEVEL = 3;
const WIDE = 4;
const COLOURED = 8;

interface LinePage {
  at: Uint32Array;
  time: Uint32Array;
  flags: Uint8Array;
  section: Uint16Array;
}

export class LineStore {
  count = 0;
  #chunks: Uint8Array[] = [];
  /** Where each chunk's text ends, behind the line break of its last line. */
  #ends: number[] = [];
  #chunk = -1;
  #pages: LinePage[] = [];
  #epoch = 0;
  #coloured = new Growing();
  #codesAt = new Growing();
  #codes: Uint8Array<ArrayBufferLike> = new Uint8Array(4096);
  #codesEnd = 0;
  #decoder = new TextDecoder();

  /** Reads a line whose JSON text is `source[from..to)`; `keep` makes it the next one. False where it is no JSON text. */
  read(source: Uint8Array, from: number, to: number): boolean {
    this.#chunk = this.#room(to - from + 1);
    return readString(source, from, to, this.#chunks[this.#chunk]!, this.#ends[this.#chunk]!);
  }

  keep(time: number, level: number, section: number): void {
    const chunk = this.#chunk;
    const bytes = this.#chunks[chunk]!;
    const at = this.#ends[chunk]!;
    let length = found.length;
    let flags = level | (found.flags & HAS_WIDE ? WIDE : 0);
    if (found.flags & HAS_ESCAPE) {
      const plain = this.#takeCodes(bytes, at, length);
      if (plain !== length) flags |= COLOURED;
      length = plain;
    }
    bytes[at + length] = NEWLINE;
    this.#ends[chunk] = at + length + 1;
    this.#note(chunk * CHUNK + at, time, flags, section);
  }

  /** Milliseconds since the epoch. */
  time(line: number): number {
    return this.#epoch + this.#pages[line >>> PAGE_BITS]!.time[line & (PAGE - 1)]!;
  }

  level(line: number): number {
    return this.#pages[line >>> PAGE_BITS]!.flags[line & (PAGE - 1)]! & LEVEL;
  }

  section(line: number): number {
    return this.#pages[line >>> PAGE_BITS]!.section[line & (PAGE - 1)]!;
  }

  isWide(line: number): boolean {
    return (this.#pages[line >>> PAGE_BITS]!.flags[line & (PAGE - 1)]! & WIDE) !== 0;
  }

  /** Without colour codes. */
  plain(line: number): string {
    const [bytes, from, to] = this.#range(line);
    return this.#decoder.decode(bytes.subarray(from, to));
  }

  /** With its colour codes where they stood. */
  text(line: number): string {
    if (!(this.#pages[line >>> PAGE_BITS]!.flags[line & (PAGE - 1)]! & COLOURED)) return this.plain(line);
    const [bytes, from, to] = this.#range(line);
    const index = this.#coloured.indexOf(line);
    const end = index + 1 < this.#coloured.length ? this.#codesAt.at(index + 1) : this.#codesEnd;
    let text = "";
    let done = from;
    for (let place = this.#codesAt.at(index); place < end;) {
      const where = from + this.#codes[place]! + (this.#codes[place + 1]! << 8);
      const length = this.#codes[place + 2]!;
      text += this.#decoder.decode(bytes.subarray(done, where));
      text += `\x1b[${this.#decoder.decode(this.#codes.subarray(place + 3, place + 3 + length))}m`;
      done = where;
      place += 3 + length;
    }
    return text + this.#decoder.decode(bytes.subarray(done, to));
  }

  /** The bytes that lines from `line` on share, to search: `end` is behind the last line break, lines up to `last`. */
  block(line: number): { bytes: Uint8Array; from: number; end: number; last: number } {
    const at = this.#at(line);
    const chunk = at >>> CHUNK_BITS;
    const last = chunk === this.#chunks.length - 1 ? this.count - 1 : this.lineAt(chunk, CHUNK - 1, line);
    return { bytes: this.#chunks[chunk]!, from: at & (CHUNK - 1), end: this.#ends[chunk]!, last };
  }

  /** A copy of lines from `line` on, each with its line break: some `size` bytes, one line at least. */
  piece(line: number, size: number): { text: Uint8Array<ArrayBuffer>; last: number } {
    const { bytes, from, end, last } = this.block(line);
    if (end - from <= size) return { text: new Uint8Array(bytes.subarray(from, end)), last };
    const cut = this.lineAt(this.chunkOf(line), from + size, line);
    return { text: new Uint8Array(bytes.subarray(from, this.lineEnd(cut) + 1)), last: cut };
  }

  chunkOf(line: number): number {
    return this.#at(line) >>> CHUNK_BITS;
  }

  /** The line that has the byte; it is not before `from`. */
  lineAt(chunk: number, offset: number, from: number): number {
    const at = chunk * CHUNK + offset;
    let low = from;
    let step = 1;
    while (low + step < this.count && this.#at(low + step) <= at) {
      low += step;
      step *= 2;
    }
    let high = Math.min(low + step, this.count);
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.#at(middle) <= at) low = middle;
      else high = middle;
    }
    return low;
  }

  /** Where the line ends within its chunk: the place of its line break. */
  lineEnd(line: number): number {
    return this.#range(line)[2];
  }

  #at(line: number): number {
    return this.#pages[line >>> PAGE_BITS]!.at[line & (PAGE - 1)]!;
  }

  #range(line: number): [bytes: Uint8Array, from: number, to: number] {
    const at = this.#at(line);
    const chunk = at >>> CHUNK_BITS;
    let end = this.#ends[chunk]!;
    if (line + 1 < this.count) {
      const next = this.#at(line + 1);
      if (next >>> CHUNK_BITS === chunk) end = next & (CHUNK - 1);
    }
    return [this.#chunks[chunk]!, at & (CHUNK - 1), end - 1];
  }

  /** The chunk that has so many bytes left. */
  #room(size: number): number {
    const chunk = this.#chunks.length - 1;
    if (chunk >= 0 && this.#ends[chunk]! + size <= CHUNK) return chunk;
    this.#chunks.push(new Uint8Array(CHUNK));
    this.#ends.push(0);
    return chunk + 1;
  }

  #note(at: number, time: number, flags: number, section: number): void {
    const place = this.count & (PAGE - 1);
    if (place === 0) {
      this.#pages.push({
        at: new Uint32Array(PAGE),
        time: new Uint32Array(PAGE),
        flags: new Uint8Array(PAGE),
        section: new Uint16Array(PAGE),
      });
    }
    if (this.count === 0) this.#epoch = time;
    const page = this.#pages[this.count >>> PAGE_BITS]!;
    page.at[place] = at;
    page.time[place] = Math.max(0, time - this.#epoch);
    page.flags[place] = flags;
    page.section[place] = section;
    this.count++;
  }

  /** Moves colour codes out of `bytes[at..at+length)`; the length of what stays. Other escapes go for good. */
  #takeCodes(bytes: Uint8Array, at: number, length: number): number {
    const end = at + length;
    let place = at;
    let begun = false;
    for (let next = at; next < end;) {
      if (bytes[next] !== 0x1b) {
        bytes[place++] = bytes[next++]!;
        continue;
      }
      const after = codeEnd(bytes, next, end);
      if (after < 0) {
        next++;
        continue;
      }
      if (!begun) {
        this.#coloured.push(this.count);
        this.#codesAt.push(this.#codesEnd);
        begun = true;
      }
      this.#keepCode(place - at, bytes.subarray(next + 2, after - 1));
      next = after;
    }
    return place - at;
  }

  /** A code: two bytes for where it stands, one for its length, its parameters. */
  #keepCode(where: number, parameters: Uint8Array): void {
    const kept = parameters.length > 255 ? parameters.subarray(0, 0) : parameters;
    if (this.#codesEnd + 3 + kept.length > this.#codes.length) {
      const larger = new Uint8Array(this.#codes.length * 2);
      larger.set(this.#codes);
      this.#codes = larger;
    }
    this.#codes[this.#codesEnd] = where & 255;
    this.#codes[this.#codesEnd + 1] = where >> 8;
    this.#codes[this.#codesEnd + 2] = kept.length;
    this.#codes.set(kept, this.#codesEnd + 3);
    this.#codesEnd += 3 + kept.length;
  }
}
