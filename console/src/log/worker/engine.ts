/** One attempt's log as frames make it: lines, sections, the end, a search; and what of it the page does not know yet. */

import type { Found, Places, Rows, Update } from "../messages.ts";
import type { Connection, End, Phase, Result } from "../types.ts";
import { StreamError } from "./connection.ts";
import { ExpressionSearch, type Ask } from "./expression-search.ts";
import type { FrameSink, Opening } from "./frames.ts";
import { Growing } from "./growing.ts";
import { TextSearch, type Query, type Search } from "./search.ts";
import { SectionBook } from "./sections.ts";
import { parseStepLine } from "./step-line.ts";
import { LineStore } from "./store.ts";

const LEVELS: Record<string, number> = { info: 0, success: 1, warn: 2, error: 3 };
const WARN = 2;
const ERROR = 3;
const BUILDER = "builder";
const LONGEST_TEXT = 32 * 1024 * 1024;
const STEP = new TextEncoder().encode("step ");

export class Engine implements FrameSink {
  connection: Connection = { state: "connecting" };
  clock = 0;
  attempt: number | null = null;
  end: End | null = null;
  onRetry: (milliseconds: number) => void = () => {};
  store = new LineStore();
  #sections = new SectionBook();
  #errors = new Growing();
  #flagged = new Growing();
  #search: Search | null = null;
  #problem: Found | null = null;
  #told = { began: true, errors: 0, flagged: 0, matches: 0 };
  #encoder = new TextEncoder();
  #ask: Ask;

  /** `ask` runs expressions. */
  constructor(ask: Ask) {
    this.#ask = ask;
  }

  get lastId(): string | null {
    return this.store.count > 0 ? `${this.attempt}-${this.store.count - 1}` : null;
  }

  /** The attempt is told from its first frame on: what was here is forgotten. */
  begin(attempt: number | null): void {
    this.attempt = attempt;
    if (this.store.count === 0) return;
    this.store = new LineStore();
    this.#sections = new SectionBook();
    this.#errors = new Growing();
    this.#flagged = new Growing();
    this.end = null;
    this.#told = { began: true, errors: 0, flagged: 0, matches: 0 };
    if (this.#search !== null) this.search(this.#search.query);
  }

  // -- frames

  line(attempt: number, seq: number, opening: Opening, source: Uint8Array, from: number, to: number): boolean {
    if (!this.#isNext(attempt, seq)) return true;
    if (!this.store.read(source, from, to)) return false;
    const { time, phase } = opening;
    const level = LEVELS[opening.level] ?? 0;
    const step = opening.source === BUILDER && beginsStep(source, from) ? this.#stepLine(source, from, to) : null;
    const section = step ? this.#sections.announce(phase, step, time) : this.#sections.enter(phase, time);
    this.store.keep(time, level, section);
    const isOutput = from < to && opening.source !== "" && opening.source !== BUILDER;
    this.#note(level === ERROR || step?.state === "failed" ? ERROR : level, isOutput);
    return true;
  }

  whole(attempt: number, seq: number, event: Record<string, unknown>): void {
    if (!this.#isNext(attempt, seq)) return;
    const time = Date.parse(String(event["ts"])) || 0;
    const phase = String(event["phase"]) as Phase;
    const line = String(event["line"] ?? "");
    const level = LEVELS[String(event["level"])] ?? 0;
    const result = event["result"] as Result | undefined;
    if (result) this.#sections.stop(result, time);
    const source = event["source"] ?? "";
    const step = source === BUILDER ? parseStepLine(line) : null;
    const section = step ? this.#sections.announce(phase, step, time) : this.#sections.enter(phase, time);
    const text = this.#encoder.encode(JSON.stringify(line));
    this.store.read(text, 1, text.length - 1);
    this.store.keep(time, level, section);
    const isOutput = line !== "" && !result && source !== "" && source !== BUILDER;
    this.#note(level === ERROR || step?.state === "failed" ? ERROR : level, isOutput);
    if (!result) return;
    this.#sections.finish(result, time);
    this.end = {
      result,
      attempt,
      duration_ms: Number(event["duration_ms"]) || 0,
      line,
      error: (event["error"] as End["error"] | undefined) ?? null,
    };
  }

  retry(milliseconds: number): void {
    this.onRetry(milliseconds);
  }

  /** False for a frame that is here already. */
  #isNext(attempt: number, seq: number): boolean {
    this.attempt ??= attempt;
    if (seq < 0 || attempt !== this.attempt) throw new StreamError("the stream sent a frame of another attempt");
    if (seq > this.store.count) throw new StreamError(`frames before ${attempt}-${seq} are missing`);
    return seq === this.store.count;
  }

  #stepLine(source: Uint8Array, from: number, to: number) {
    try {
      return parseStepLine(JSON.parse(`"${new TextDecoder().decode(source.subarray(from, to))}"`) as string);
    } catch {
      return null;
    }
  }

  #note(level: number, isOutput: boolean): void {
    const line = this.store.count - 1;
    this.#sections.take(line, level === WARN, isOutput);
    if (level === ERROR) this.#errors.push(line);
    if (level === ERROR || level === WARN) this.#flagged.push(line);
  }

  // -- what the page asks

  rows(lines: Uint32Array): Rows {
    const here = lines.filter((line) => line < this.store.count);
    const rows: Rows = {
      kind: "rows",
      lines: here,
      texts: [],
      times: new Float64Array(here.length),
      levels: new Uint8Array(here.length),
    };
    here.forEach((line, place) => {
      rows.texts.push(this.store.text(line));
      rows.times[place] = this.store.time(line);
      rows.levels[place] = this.store.level(line);
    });
    return rows;
  }

  /** Lines without colours, a line break behind each; null when that is more than can be handled as one text. */
  text(first: number, last: number): string | null {
    const lines: string[] = [];
    let size = 0;
    for (let line = first; line <= Math.min(last, this.store.count - 1); line++) {
      const text = this.store.plain(line);
      size += text.length + 1;
      if (size > LONGEST_TEXT) return null;
      lines.push(text);
    }
    return lines.map((line) => `${line}\n`).join("");
  }

  search(query: Query): void {
    this.#told.matches = 0;
    this.#search = null;
    this.#problem = null;
    if (query.text === "") return;
    try {
      const { store } = this;
      this.#search = query.regex ? new ExpressionSearch(store, query, this.#ask) : new TextSearch(store, query);
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      this.#problem = { id: query.id, lines: new Uint32Array(0), done: true, problem };
    }
  }

  get isSearching(): boolean {
    return this.#search !== null && !this.#search.done;
  }

  /** Looks for a few milliseconds. */
  searchOn(): Promise<void> | void {
    return this.#search?.turn();
  }

  /** Where the expression that is searched is in these lines. */
  async places(id: number, lines: Uint32Array): Promise<Places> {
    const search = this.#search;
    const isWanted = search instanceof ExpressionSearch && search.query.id === id;
    return { kind: "places", id, lines, places: isWanted ? await search.places(lines) : [] };
  }

  /** What is new since the last time this was asked. */
  news(): Update {
    const { began, errors, flagged } = this.#told;
    const update: Update = {
      kind: "update",
      began,
      lines: this.store.count,
      epoch: this.store.count > 0 ? this.store.time(0) : 0,
      attempt: this.attempt,
      connection: this.connection,
      clock: this.clock,
      end: this.end,
      sections: this.#sections.settle(),
      errors: this.#errors.since(errors),
      flagged: this.#flagged.since(flagged),
      found: this.#found(),
    };
    const matches = this.#search?.matches.length ?? 0;
    this.#told = { began: false, errors: this.#errors.length, flagged: this.#flagged.length, matches };
    return update;
  }

  #found(): Found | null {
    if (this.#search === null) return this.#problem;
    const { query, matches, done, problem } = this.#search;
    return { id: query.id, lines: matches.since(this.#told.matches), done, problem };
  }
}

function beginsStep(source: Uint8Array, from: number): boolean {
  return STEP.every((byte, place) => source[from + place] === byte);
}
