/** Which rows the list has: a header for each section, and behind it the lines of those that are open. Pure.
 * With a filter only its lines are there, and only sections that have some. Heights are those of unwrapped rows. */

import type { Section } from "../types.ts";
import type { Growing } from "../worker/growing.ts";

export const LINE_PX = 20;
export const HEADER_PX = 32;

export type Place = { section: number; line: number | null };

export class Layout {
  readonly rows: number;
  readonly height: number;
  readonly sections: readonly Section[];
  /** Of each shown section: its number, its first row, and that row's top. */
  #shown: number[] = [];
  #firstRow: number[] = [];
  #top: number[] = [];
  #counts: number[] = [];
  #only: Growing | null;

  /** `lines`: how many lines there are; `only`: those that are shown, all where null. */
  constructor(sections: readonly Section[], lines: number, isOpen: (section: number) => boolean, only: Growing | null) {
    this.sections = sections;
    this.#only = only;
    let row = 0;
    let top = 0;
    sections.forEach((section, index) => {
      const count = this.#count(section, lines);
      if (only !== null && count === 0) return;
      this.#shown.push(index);
      this.#firstRow.push(row);
      this.#top.push(top);
      const open = isOpen(index) ? count : 0;
      this.#counts.push(open);
      row += 1 + open;
      top += HEADER_PX + open * LINE_PX;
    });
    this.rows = row;
    this.height = top;
  }

  at(row: number): Place {
    const place = lastAtMost(this.#firstRow, row);
    const section = this.#shown[place]!;
    const behind = row - this.#firstRow[place]! - 1;
    if (behind < 0) return { section, line: null };
    return { section, line: this.#line(section, behind) };
  }

  top(row: number): number {
    if (row >= this.rows) return this.height;
    const place = lastAtMost(this.#firstRow, row);
    const behind = row - this.#firstRow[place]!;
    return this.#top[place]! + (behind === 0 ? 0 : HEADER_PX + (behind - 1) * LINE_PX);
  }

  /** The row at a height. */
  rowAt(px: number): number {
    if (this.rows === 0) return 0;
    const place = lastAtMost(this.#top, Math.max(0, px));
    const within = px - this.#top[place]! - HEADER_PX;
    const behind = within < 0 ? 0 : 1 + Math.floor(within / LINE_PX);
    return this.#firstRow[place]! + Math.min(behind, this.#counts[place]!);
  }

  /** The row of a line or header, or of the header that hides it. */
  rowOf({ section, line }: Place): number {
    const place = lastAtMost(this.#shown, section);
    if (place < 0) return 0;
    const header = this.#firstRow[place]!;
    if (line === null || this.#shown[place] !== section) return header;
    const first = this.sections[section]!.first;
    const behind = this.#only === null ? line - first : this.#only.before(line) - this.#only.before(first);
    return header + (this.#counts[place] === 0 ? 0 : 1 + Math.max(0, Math.min(behind, this.#counts[place]! - 1)));
  }

  #count(section: Section, lines: number): number {
    if (section.first < 0) return 0;
    const end = Math.min(section.last + 1, lines);
    if (this.#only === null) return Math.max(0, end - section.first);
    return this.#only.before(end) - this.#only.before(section.first);
  }

  #line(section: number, behind: number): number {
    const first = this.sections[section]!.first;
    return this.#only === null ? first + behind : this.#only.at(this.#only.before(first) + behind);
  }
}

/** The section that has the line. */
export function sectionOf(sections: readonly Section[], line: number): number {
  let low = 0;
  let high = sections.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const first = firstFrom(sections, middle);
    if (first <= line) low = middle + 1;
    else high = middle;
  }
  let index = low - 1;
  while (index > 0 && sections[index]!.first < 0) index--;
  return index;
}

/** The first line of the section, or of the next that has one. */
function firstFrom(sections: readonly Section[], index: number): number {
  for (let next = index; next < sections.length; next++) if (sections[next]!.first >= 0) return sections[next]!.first;
  return Infinity;
}

/** The place of the last value that is not above `wanted`; -1 where all are. */
function lastAtMost(values: readonly number[], wanted: number): number {
  let low = 0;
  let high = values.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle]! <= wanted) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}
