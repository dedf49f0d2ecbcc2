/** The page's side of a log: signals that the worker's news change, and questions to it. */

import { batch, computed, signal } from "@preact/signals";
import { templatePath } from "../api/client";
import { Marks } from "./marks";
import type { Found, FromWorker, ToWorker, Update } from "./messages";
import { RowCache } from "./rows";
import type { Connection, End, Log, Section } from "./types";
import { watchTab } from "./tab";
import { Growing } from "./worker/growing.ts";

const HIDDEN_MS = 250;
/** Lines at once that nobody reads as they fly by; then the page has a rest for the reader's own doings. */
const FLOOD = 40;
const FLOOD_MS = 40;

export interface SearchState {
  id: number;
  text: string;
  regex: boolean;
  count: number;
  done: boolean;
  problem: string;
}

/** Where the worker's file is not there: with an upgrade of the server those of an open tab go. */
const NO_WORKER: Connection = {
  state: "refused",
  status: 0,
  code: "no_worker",
  message: "The part of the page that reads logs did not load: the server may have another version of it.",
};

const NO_SEARCH: SearchState = { id: 0, text: "", regex: false, count: 0, done: true, problem: "" };

export class PageLog implements Log {
  readonly attempt = signal<number | null>(null);
  readonly connection = signal<Connection>({ state: "connecting" });
  readonly sections = signal<readonly Section[]>([]);
  readonly lines = signal(0);
  readonly end = signal<End | null>(null);
  readonly clock = signal(0);
  /** When the first line was written, ms since the epoch. */
  readonly epoch = signal(0);
  readonly search = signal<SearchState>(NO_SEARCH);
  /** Lines, in order: errors, warnings with errors, and those that the search found. `lists` changes with them. */
  readonly errors = new Growing();
  readonly flagged = new Growing();
  readonly matches = new Growing();
  readonly lists = signal(0);
  /** The line that is to be shown, from 0. */
  readonly wanted = signal<number | null>(null);
  /** Where the events of this attempt are. */
  readonly eventsPath = computed(() => this.#address(this.attempt.value));
  readonly rows: RowCache;
  readonly marks = new Marks((lines) => this.#send({ kind: "places", id: this.search.value.id, lines }));
  #worker: Worker;
  #texts = new Map<number, (text: string | null) => void>();
  #lastId = 0;
  #path: string;
  #wake = () => document.hidden || this.retry();
  #unwatch: () => void;

  constructor(
    readonly ref: string,
    attempt: number | null,
  ) {
    this.#path = `${templatePath(ref)}/build/events`;
    this.attempt.value = attempt;
    this.#worker = new Worker(new URL("./worker/worker.ts", import.meta.url), { type: "module", name: "log" });
    this.#worker.onmessage = (event: MessageEvent<FromWorker>) => this.#take(event.data);
    this.#worker.onerror = () => this.#lost();
    this.rows = new RowCache((lines) => this.#send({ kind: "rows", lines }));
    const { tab, unwatch } = watchTab((change) => {
      this.#send(change);
      this.#wake();
    });
    this.#unwatch = unwatch;
    this.#send({ kind: "open", url: new URL(this.#path, location.href).href, attempt, tab });
    addEventListener("online", this.#wake);
  }

  reveal(line: number): void {
    this.wanted.value = line;
  }

  retry(): void {
    this.#send({ kind: "wake" });
  }

  close(): void {
    removeEventListener("online", this.#wake);
    this.#unwatch();
    this.#send({ kind: "close" });
    for (const told of this.#texts.values()) told(null);
    this.#texts.clear();
  }

  /** Looks for a text in all lines; the empty one ends it. */
  find(text: string, regex: boolean): void {
    const id = ++this.#lastId;
    this.matches.clear();
    this.marks.clear();
    this.search.value = { ...NO_SEARCH, id, text, regex, done: text === "" };
    this.lists.value++;
    this.#send({ kind: "search", id, text, regex });
  }

  /** Lines without colours; null when that is more than one text can be. */
  textOf(first: number, last: number): Promise<string | null> {
    const id = ++this.#lastId;
    return new Promise((resolve) => {
      this.#texts.set(id, resolve);
      this.#send({ kind: "text", id, first, last });
    });
  }

  /** An error before the worker's first word is that it did not load; a later one does not end it. */
  #lost(): void {
    if (this.connection.value.state === "connecting") this.connection.value = NO_WORKER;
  }

  #take(message: FromWorker): void {
    if (message.kind === "rows") this.rows.take(message);
    else if (message.kind === "places") {
      if (message.id === this.search.value.id) this.marks.take(message);
    } else if (message.kind === "text") {
      this.#texts.get(message.id)?.(message.text);
      this.#texts.delete(message.id);
    } else {
      const more = message.lines - this.lines.value;
      batch(() => this.#update(message));
      afterFrame(() => setTimeout(() => this.#send({ kind: "shown" }), more > FLOOD ? FLOOD_MS : 0));
    }
  }

  #update(update: Update): void {
    if (update.began) this.#forget();
    this.attempt.value = update.attempt;
    this.connection.value = update.connection;
    this.clock.value = update.clock;
    this.epoch.value = update.epoch;
    this.end.value = update.end;
    const { from, items } = update.sections;
    if (items.length > 0) this.sections.value = [...this.sections.value.slice(0, from), ...items];
    this.lines.value = update.lines;
    this.errors.append(update.errors);
    this.flagged.append(update.flagged);
    if (update.errors.length + update.flagged.length > 0) this.lists.value++;
    if (update.found) this.#found(update.found);
  }

  #found(found: Found): void {
    const search = this.search.value;
    if (found.id !== search.id) return;
    this.matches.append(found.lines);
    const count = this.matches.length;
    if (count !== search.count || found.done !== search.done || found.problem !== search.problem) {
      this.search.value = { ...search, count, done: found.done, problem: found.problem };
      this.lists.value++;
    }
  }

  #forget(): void {
    this.rows.clear();
    this.errors.clear();
    this.flagged.clear();
    this.matches.clear();
    this.marks.clear();
    this.sections.value = [];
    this.lists.value++;
  }

  #send(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #address(attempt: number | null): string {
    return attempt === null ? this.#path : `${this.#path}?attempt=${attempt}`;
  }
}

/** A page that is not seen has no frames, so it waits no longer than a moment. */
function afterFrame(then: () => void): void {
  const once = () => (cancelAnimationFrame(frame), clearTimeout(timer), then());
  const frame = requestAnimationFrame(once);
  const timer = setTimeout(once, HIDDEN_MS);
}
