/** How one looks at a log: what is open, filtered, selected, and whether the view moves with the newest line. */

import { computed, effect, signal } from "@preact/signals";
import { failingLine } from "../failing.ts";
import type { PageLog } from "../page-log";
import type { Section } from "../types";
import { Growing } from "../worker/growing.ts";
import { readHash, writeHash } from "./address";
import { kept } from "./kept";
import { Layout, sectionOf } from "./layout.ts";
import { finderOf, type Finder } from "./pieces.ts";
import { Scroll } from "./scroll.ts";

export type Filter = "all" | "warnings" | "errors";

/** Shared by all logs that are shown. */
export const wrap = kept("wrap", ["off", "on"]);
export const stamps = kept("timestamps", ["off", "relative", "absolute"]);

const NOTHING = new Growing();
const TYPED_MS = 120;

export class ViewState {
  readonly scroll = new Scroll();
  readonly follow = signal(true);
  /** What stands still while it is paused. */
  readonly frozen = signal<{ sections: readonly Section[]; lines: number } | null>(null);
  readonly filter = signal<Filter>("all");
  readonly opened = signal<ReadonlyMap<number, boolean>>(new Map());
  /** Lines that are selected, both included. */
  readonly selected = signal<readonly [number, number] | null>(null);
  /** Long lines that are shown whole. */
  readonly whole = signal<ReadonlySet<number>>(new Set());
  /** What stands in the search's field: it is looked for a moment later. */
  readonly typed = signal("");
  /** The match one is at: its number among all. */
  readonly current = signal<number | null>(null);
  /** The section whose header sticks on top, -1 for none. */
  readonly sticky = signal(-1);
  readonly notice = signal("");
  readonly help = signal(false);
  /** Changes when the list is to be drawn at another place. */
  readonly moves = signal(0);
  /** Where a range of lines begins. */
  anchor: number | null = null;
  /** The line that was shown last, until one scrolls. */
  shown: number | null = null;
  /** The scrollbar is to be put where the place is. */
  settle = true;
  readonly #leftAt = signal(0);
  #running = -1;
  #resting: ReturnType<typeof setTimeout> | undefined;
  #ends: (() => void)[];

  readonly layout = computed(() => {
    const shown = this.frozen.value ?? { sections: this.log.sections.value, lines: this.log.lines.value };
    if (this.filter.value !== "all") this.log.lists.value; // the filter's lines are no signal
    return new Layout(shown.sections, shown.lines, (section) => this.isOpen(section), this.#only());
  });
  readonly unseen = computed(() => Math.max(0, this.log.lines.value - this.#leftAt.value));
  readonly #textFinder = computed(() => finderOf(this.log.search.value.text));

  constructor(readonly log: PageLog) {
    this.selectFromHash();
    this.#ends = [
      effect(() => this.#showWanted()),
      effect(() => this.#keepWhatIsRead(this.log.sections.value)),
      effect(() => this.#showFailure()),
      effect(() => {
        if (this.follow.value) this.#leftAt.value = this.log.lines.value;
      }),
    ];
  }

  close(): void {
    clearTimeout(this.#resting);
    for (const end of this.#ends) end();
  }

  // -- sections

  isOpen(index: number): boolean {
    const chosen = this.opened.value.get(index);
    if (chosen !== undefined) return chosen;
    const section = this.log.sections.value[index];
    if (section === undefined) return false;
    if (this.filter.value !== "all") return true;
    if (section.ended === null || (section.mark !== "done" && section.mark !== "cached")) return true;
    return this.log.end.value !== null && index === this.log.sections.value.length - 1;
  }

  toggle(section: number): void {
    this.open(section, !this.isOpen(section));
  }

  open(section: number, open: boolean): void {
    this.opened.value = new Map(this.opened.value).set(section, open);
    this.move();
  }

  openAll(open: boolean): void {
    this.follow.value = false;
    this.opened.value = new Map(this.log.sections.value.map((_, index) => [index, open]));
    this.move();
  }

  // -- places

  /** Draws the list where `scroll` is now, and puts the scrollbar there. */
  move(): void {
    this.settle = true;
    this.moves.value++;
  }

  toTop(): void {
    this.stay();
    this.shown = null;
    this.scroll.atEnd = false;
    this.scroll.toVirtual(0);
    this.move();
  }

  /** To the newest line, and on with it. */
  toEnd(): void {
    this.frozen.value = null;
    this.shown = null;
    this.follow.value = true;
    this.move();
  }

  /** No more moving by itself. */
  stay(): void {
    this.follow.value = false;
  }

  pause(on: boolean): void {
    if (!on) return this.toEnd();
    this.stay();
    this.frozen.value = { sections: this.log.sections.value, lines: this.log.lines.value };
  }

  /** Shows a line that is here; its section stays open, also when it ends a moment later. */
  toLine(line: number): void {
    this.stay();
    if (this.frozen.value !== null && line >= this.frozen.value.lines) this.frozen.value = null;
    if (this.#only() !== null && this.#only()!.indexOf(line) < 0) this.filter.value = "all";
    const section = sectionOf(this.log.sections.value, line);
    if (!this.opened.value.get(section)) this.opened.value = new Map(this.opened.value).set(section, true);
    this.scroll.relayout(this.layout.value, wrap.value === "off");
    this.scroll.show(this.layout.value.rowOf({ section, line }));
    this.shown = line;
    this.move();
  }

  /** The view has another height now: what was shown stays in view. */
  resized(viewPx: number): void {
    this.scroll.viewPx = viewPx;
    if (this.shown !== null) this.toLine(this.shown);
    else this.move();
  }

  /** The line at the top of what is seen, or the next there is. */
  lineInView(): number {
    const { row, layout, viewPx } = this.scroll;
    for (let next = row; next < Math.min(layout.rows, row + viewPx); next++) {
      const { line } = layout.at(next);
      if (line !== null) return line;
    }
    const place = this.scroll.place;
    return place === null ? 0 : Math.max(0, layout.sections[place.section]!.first);
  }

  // -- what is found and selected

  /** Other lines; those that are looked at stay in view where they can. */
  show(filter: Filter): void {
    const line = this.lineInView();
    this.filter.value = filter;
    const only = this.#only();
    if (this.follow.value || this.log.lines.value === 0) this.move();
    else if (only === null) this.toLine(line);
    else if (only.length > 0) this.toLine(only.at(Math.min(only.before(line), only.length - 1)));
  }

  /** Looks for it once the keys rest. */
  type(text: string, regex: boolean): void {
    this.typed.value = text;
    clearTimeout(this.#resting);
    const sought = this.log.search.value;
    if (text !== sought.text || regex !== sought.regex)
      this.#resting = setTimeout(() => this.find(text, regex), TYPED_MS);
  }

  find(text: string, regex: boolean): void {
    clearTimeout(this.#resting);
    this.typed.value = text;
    this.current.value = null;
    this.log.find(text, regex);
  }

  /** To the next match, or the one before; around the ends. */
  step(by: 1 | -1): void {
    const { matches } = this.log;
    if (matches.length === 0) return;
    const now = this.current.value;
    const near = matches.before(this.lineInView());
    const next = now !== null ? now + by : by > 0 ? near : near - 1;
    this.current.value = (next + matches.length) % matches.length;
    this.toLine(matches.at(this.current.value));
  }

  /** To the next error behind what is selected; to warnings where there is no error. */
  nextError(): void {
    const { errors, flagged } = this.log;
    const list = errors.length > 0 ? errors : flagged;
    if (list.length === 0) return this.tell("There are no errors and no warnings.");
    const from = this.selected.value?.[1] ?? -1;
    const line = list.at(list.before(from + 1) % list.length);
    this.select(line, line);
    this.toLine(line);
  }

  /** What marks the matches in a line. */
  finderIn(line: number): Finder | null {
    return this.log.search.value.regex ? this.log.marks.get(line) : this.#textFinder.value;
  }

  select(from: number, to: number): void {
    this.selected.value = [Math.min(from, to), Math.max(from, to)];
    writeHash(this.selected.value);
  }

  clearSelection(): void {
    this.selected.value = null;
    writeHash(null);
  }

  selectFromHash = (): void => {
    const range = readHash();
    if (range === null) return;
    this.selected.value = range;
    this.log.reveal(range[0]);
  };

  tell(notice: string): void {
    this.notice.value = notice;
  }

  showWhole(line: number): void {
    this.whole.value = new Set(this.whole.value).add(line);
  }

  #only(): Growing | null {
    if (this.filter.value === "all") return null;
    const list = this.filter.value === "errors" ? this.log.errors : this.log.flagged;
    return list.length > 0 ? list : NOTHING;
  }

  #showWanted(): void {
    const line = this.log.wanted.value;
    if (line === null) return;
    if (this.follow.peek()) this.stay();
    if (line < this.log.lines.value) {
      this.log.wanted.value = null;
      queueMicrotask(() => this.toLine(line));
    } else if (this.log.end.value !== null) {
      this.log.wanted.value = null;
      this.tell(`There is no line ${line + 1}: the log has ${this.log.lines.value.toLocaleString("en")}.`);
    }
  }

  /** A section that ends folds, but not below the eyes of one who reads in it. */
  #keepWhatIsRead(sections: readonly Section[]): void {
    const was = sections[this.#running];
    if (was && was.ended !== null && !this.follow.peek() && this.scroll.place?.section === this.#running) {
      if (!this.opened.peek().has(this.#running)) {
        this.opened.value = new Map(this.opened.peek()).set(this.#running, true);
      }
    }
    this.#running = sections.length - 1;
  }

  #showFailure(): void {
    const end = this.log.end.value;
    if (end === null || end.result === "ready" || !this.follow.peek()) return;
    const { sections, lines } = this.log;
    queueMicrotask(() => this.toLine(failingLine(sections.peek(), lines.peek())));
  }
}
