/** Which lines an expression fits, and where in them it is. Others run it, a piece of the log at a time. */

import type { Answer, Question } from "./expression.ts";
import { Growing } from "./growing.ts";
import { isExact, type Query, type Search } from "./search.ts";
import type { LineStore } from "./store.ts";

const PIECE = 256 * 1024;

export type Ask = (question: Question) => Promise<Answer>;

export class ExpressionSearch implements Search {
  readonly matches = new Growing();
  readonly query: Query;
  problem = "";
  #next = 0;
  #flags: string;
  #store: LineStore;
  #ask: Ask;

  /** Raises SyntaxError for an expression that is none. */
  constructor(store: LineStore, query: Query, ask: Ask) {
    this.#flags = isExact(query.text) ? "u" : "iu";
    new RegExp(query.text, this.#flags);
    this.#store = store;
    this.query = query;
    this.#ask = ask;
  }

  get done(): boolean {
    return this.problem !== "" || this.#next >= this.#store.count;
  }

  async turn(): Promise<void> {
    const { text, last } = this.#store.piece(this.#next, PIECE);
    const fitting = (await this.#answer("lines", text)) as Uint32Array | null;
    for (const line of fitting ?? []) this.matches.push(this.#next + line);
    this.#next = last + 1;
  }

  /** Where it is in each line; nothing once it was stopped. */
  async places(lines: Uint32Array): Promise<Uint32Array[]> {
    if (this.problem !== "") return [];
    const text = [...lines].map((line) => `${this.#store.plain(line)}\n`).join("");
    return ((await this.#answer("places", new TextEncoder().encode(text))) ?? []) as Uint32Array[];
  }

  async #answer(wanted: Question["wanted"], text: Uint8Array<ArrayBuffer>): Promise<Answer | null> {
    try {
      return await this.#ask({ source: this.query.text, flags: this.#flags, wanted, text });
    } catch (error) {
      this.problem ||= error instanceof Error ? error.message : String(error);
      return null;
    }
  }
}
