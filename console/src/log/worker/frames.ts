/** Server-sent events as bytes → frames, for any cut of the bytes. An event counts once its blank line is here; one that
 * the connection breaks off is forgotten with `reset`, as is its id.
 *
 * The server writes what stands before a line the same way each time, and often with the same bytes as before, so that
 * is compared before it is read. Whatever looks otherwise is read by JSON.parse. */

import type { Level, Phase } from "../types.ts";

export interface Opening {
  time: number;
  level: Level;
  phase: Phase;
  source: string;
}

export interface FrameSink {
  /** A line; its JSON text is `source[from..to)`. False where that is no JSON text: `whole` comes then. */
  line(attempt: number, seq: number, opening: Opening, source: Uint8Array, from: number, to: number): boolean;
  /** A frame that was read as a whole, the last one among them. */
  whole(attempt: number, seq: number, event: Record<string, unknown>): void;
  retry(milliseconds: number): void;
}

const NEWLINE = 0x0a;
const RETURN = 0x0d;
const DASH = 0x2d;
const ID = bytesOf("id: ");
const DATA = bytesOf("data: ");
const RETRY = bytesOf("retry:");
const OPENING =
  /^\{"ts":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z)","level":"([a-z]+)","phase":"([a-z]+)"(?:,"source":"([^"\\]*)")?,"line":"/;
const LONGEST_OPENING = 256;
const TS = '{"ts":"'.length;
const TS_END = TS + 24;
const ASCII = new TextDecoder("latin1");
const UTF8 = new TextDecoder();

export class FrameParser {
  #bytes: Uint8Array<ArrayBufferLike> = new Uint8Array(1 << 17);
  #begin = 0;
  #end = 0;
  #attempt = -1;
  #seq = -1;
  #known: Uint8Array<ArrayBufferLike> = new Uint8Array(0);
  #opening: Opening = { time: 0, level: "info", phase: "publish", source: "" };

  #sink: FrameSink;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Forgets an event that has begun: its connection is gone. */
  reset(): void {
    this.#begin = this.#end = 0;
  }

  feed(chunk: Uint8Array): void {
    this.#append(chunk);
    if (chunk.includes(NEWLINE)) while (this.#takeBlock());
  }

  #append(chunk: Uint8Array): void {
    const rest = this.#end - this.#begin;
    if (this.#end + chunk.length > this.#bytes.length) {
      const size = rest + chunk.length;
      const into = size > this.#bytes.length ? new Uint8Array(Math.max(size, this.#bytes.length * 2)) : this.#bytes;
      into.set(this.#bytes.subarray(this.#begin, this.#end));
      this.#bytes = into;
      this.#begin = 0;
      this.#end = rest;
    }
    this.#bytes.set(chunk, this.#end);
    this.#end += chunk.length;
  }

  /** Takes the lines of one event up to its blank line; false where that is not here yet. Lines are read anew then, but
   * for the comments before it. */
  #takeBlock(): boolean {
    const bytes = this.#bytes;
    let dataFrom = -1;
    let dataTo = -1;
    let more: string[] | null = null;
    this.#seq = -1;
    for (let place = this.#begin; ;) {
      const end = bytes.indexOf(NEWLINE, place);
      if (end < 0 || end >= this.#end) return false;
      const stop = end > place && bytes[end - 1] === RETURN ? end - 1 : end;
      if (stop === place) {
        this.#begin = end + 1;
        if (more !== null) this.#takeWhole(more.join("\n"));
        else if (dataFrom >= 0) this.#take(dataFrom, dataTo);
        return true;
      }
      if (startsWith(bytes, place, ID)) this.#readId(place + ID.length, stop);
      else if (startsWith(bytes, place, DATA)) {
        if (dataFrom < 0) [dataFrom, dataTo] = [place + DATA.length, stop];
        else (more ??= [this.#text(dataFrom, dataTo)]).push(this.#text(place + DATA.length, stop));
      } else {
        if (startsWith(bytes, place, RETRY)) this.#readRetry(place + RETRY.length, stop);
        if (place === this.#begin) this.#begin = end + 1;
      }
      place = end + 1;
    }
  }

  #take(from: number, to: number): void {
    const bytes = this.#bytes;
    const length = this.#readOpening(from, to);
    const isLine = length > 0 && bytes[to - 1] === 0x7d && bytes[to - 2] === 0x22 && from + length <= to - 2;
    if (isLine && this.#sink.line(this.#attempt, this.#seq, this.#opening, bytes, from + length, to - 2)) return;
    this.#takeWhole(this.#text(from, to));
  }

  #takeWhole(text: string): void {
    let event: unknown;
    try {
      event = JSON.parse(text);
    } catch {
      return; // no event of ours: the gap in the numbers is seen at the next one
    }
    if (typeof event === "object" && event !== null) {
      this.#sink.whole(this.#attempt, this.#seq, event as Record<string, unknown>);
    }
  }

  /** How long what stands before the line is; 0 where it is not as expected. */
  #readOpening(from: number, to: number): number {
    const known = this.#known;
    const bytes = this.#bytes;
    if (known.length > 0 && from + known.length <= to && this.#sameBut(from)) {
      if (!this.#sameTime(from)) this.#opening.time = Date.parse(this.#text(from + TS, from + TS_END));
      return known.length;
    }
    const text = ASCII.decode(bytes.subarray(from, Math.min(to, from + LONGEST_OPENING)));
    const parts = OPENING.exec(text);
    if (parts === null) return 0;
    const [opening, ts, level, phase, source = ""] = parts as unknown as [string, string, Level, Phase, string?];
    this.#known = bytes.slice(from, from + opening.length);
    this.#opening = { time: Date.parse(ts), level, phase, source };
    return opening.length;
  }

  /** Whether all but the time is what it was. */
  #sameBut(from: number): boolean {
    const known = this.#known;
    const bytes = this.#bytes;
    for (let place = known.length - 1; place >= TS_END; place--) {
      if (bytes[from + place] !== known[place]) return false;
    }
    for (let place = 0; place < TS; place++) if (bytes[from + place] !== known[place]) return false;
    return true;
  }

  /** Whether the time is what it was, up to the millisecond, which is reckoned here. */
  #sameTime(from: number): boolean {
    const known = this.#known;
    const bytes = this.#bytes;
    let same = true;
    for (let place = TS; place < TS_END; place++) {
      if (bytes[from + place] === known[place]) continue;
      const before = known[place]!;
      known[place] = bytes[from + place]!;
      if (place < TS_END - 4 || place === TS_END - 1) same = false;
      else this.#opening.time += (known[place]! - before) * 10 ** (TS_END - 2 - place);
    }
    return same;
  }

  #readId(from: number, to: number): void {
    const dash = this.#bytes.indexOf(DASH, from);
    this.#attempt = dash < to ? this.#number(from, dash) : -1;
    this.#seq = dash < to ? this.#number(dash + 1, to) : -1;
  }

  #readRetry(from: number, to: number): void {
    const value = this.#number(this.#bytes[from] === 0x20 ? from + 1 : from, to);
    if (value >= 0) this.#sink.retry(value);
  }

  /** -1 where it is none. */
  #number(from: number, to: number): number {
    let value = 0;
    for (let place = from; place < to; place++) {
      const digit = this.#bytes[place]! - 0x30;
      if (digit < 0 || digit > 9) return -1;
      value = value * 10 + digit;
    }
    return to > from ? value : -1;
  }

  #text(from: number, to: number): string {
    return UTF8.decode(this.#bytes.subarray(from, to));
  }
}

function startsWith(bytes: Uint8Array, at: number, wanted: Uint8Array): boolean {
  for (let place = 0; place < wanted.length; place++) if (bytes[at + place] !== wanted[place]) return false;
  return true;
}

function bytesOf(text: string): Uint8Array {
  return new TextEncoder().encode(text);
}
