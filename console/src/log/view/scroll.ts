/** Where the list stands: which row is at the top of what is seen, by how many pixels it is scrolled past, and what of
 * that the browser's scrollbar says. Browsers cannot make an element as tall as millions of rows, and the heights of
 * wrapped rows are not known before they are drawn; so the row is the truth and the scrollbar follows it:
 *
 * - `exact`: rows have known heights and fit below the cap. The scrollbar's place is the place.
 * - else small moves move the row by their pixels, long ones go to the row at that share of the log; when the scrolling
 *   has ended, the scrollbar is put where the row belongs.
 */

import { Layout, LINE_PX, type Place } from "./layout.ts";

/** Firefox stops at 17.9 M px, Chromium at 33.5 M. */
export const CAP_PX = 12_000_000;
const SMALL_MOVES = 3;

export interface Drawn {
  first: number;
  /** Tops of the rows drawn, from the first one's; one more than rows. */
  tops: number[];
}

export class Scroll {
  row = 0;
  offset = 0;
  /** At the end, and to stay there. */
  atEnd = false;
  layout = new Layout([], 0, () => false, null);
  exact = true;
  viewPx = 0;
  lastTop = 0;
  drawn: Drawn = { first: 0, tops: [0] };
  /** How much taller than unwrapped the rows are, as far as they were seen. */
  #stretch = 1;

  /** How tall the scrolled element is made. */
  get spacerPx(): number {
    if (this.#isAllDrawn) return this.drawnPx;
    return Math.min(this.layout.height * this.#stretch, CAP_PX);
  }

  get drawnPx(): number {
    return this.drawn.tops.at(-1)!;
  }

  get #isAllDrawn(): boolean {
    return this.drawn.first === 0 && this.drawn.tops.length > this.layout.rows;
  }

  get isScaled(): boolean {
    return !this.exact || this.layout.height > CAP_PX;
  }

  get place(): Place | null {
    return this.row < this.layout.rows ? this.layout.at(this.row) : null;
  }

  /** Other rows: what is at the top stays there. */
  relayout(layout: Layout, exact: boolean): void {
    const place = this.place;
    this.layout = layout;
    this.exact = exact;
    if (place === null) return;
    const row = layout.rowOf(place);
    const now = row < layout.rows ? layout.at(row) : null;
    if (now === null || now.line !== place.line || now.section !== place.section) this.offset = 0;
    this.row = row;
  }

  /** What was drawn: it tells the heights of wrapped rows. True where the end came into view, so that more is to be
   * drawn before it. */
  take(drawn: Drawn): boolean {
    const before = this.atEnd;
    this.drawn = drawn;
    const { first, tops } = drawn;
    const end = first + tops.length - 1;
    if (this.exact) this.#stretch = 1;
    else {
      const unwrapped = this.layout.top(end) - this.layout.top(first);
      if (unwrapped > 0) this.#stretch = Math.max(1, this.#stretch * 0.9 + (this.drawnPx / unwrapped) * 0.1);
    }
    if (this.isScaled && end >= this.layout.rows && this.drawnPx - this.#topOfRow() - this.offset < this.viewPx) {
      this.atEnd = true;
    }
    if (this.atEnd) this.#readPlace();
    return this.atEnd && !before;
  }

  /** Where the first drawn row stands in the scrolled element. */
  drawnTop(): number {
    if (this.#isAllDrawn && this.drawnPx <= this.viewPx) return 0;
    if (!this.isScaled) return this.layout.top(this.drawn.first);
    if (this.atEnd) return this.lastTop + this.viewPx - this.drawnPx;
    return this.lastTop - this.#topOfRow() - this.offset;
  }

  /** No emptiness below the last row, as the scrollbar has none. */
  #keepInside(): void {
    const most = Math.max(0, this.layout.height - this.viewPx);
    if (this.row < this.layout.rows && this.layout.top(this.row) + this.offset > most) this.toVirtual(most);
  }

  #topOfRow(): number {
    return this.drawn.tops[this.row - this.drawn.first] ?? 0;
  }

  /** The row at the top of a view that stands at the end. */
  #readPlace(): void {
    const { first, tops } = this.drawn;
    const top = Math.max(0, this.drawnPx - this.viewPx);
    let place = 0;
    while (place + 2 < tops.length && tops[place + 1]! <= top) place++;
    this.row = first + place;
    this.offset = top - tops[place]!;
  }

  /** Where the scrollbar belongs. */
  ideal(): number {
    const most = Math.max(0, this.spacerPx - this.viewPx);
    if (this.atEnd) return most;
    const virtual = this.layout.top(this.row) + this.offset;
    if (!this.isScaled) return Math.min(most, virtual);
    const range = this.layout.height - this.viewPx;
    return range <= 0 ? 0 : Math.min(most, (Math.min(virtual, range) / range) * most);
  }

  /** The scrollbar was moved, by whomever. */
  moved(top: number): void {
    const by = top - this.lastTop;
    this.lastTop = top;
    const most = Math.max(0, this.spacerPx - this.viewPx);
    this.atEnd = false;
    if (!this.isScaled) this.toVirtual(top);
    else if (top <= 0 && Math.abs(by) > this.viewPx) this.toVirtual(0);
    else if (top >= most - 1 && by > this.viewPx) this.atEnd = true;
    else if (Math.abs(by) <= this.viewPx * SMALL_MOVES) this.moveBy(by);
    else this.toVirtual((top / most) * (this.layout.height - this.viewPx));
  }

  toVirtual(px: number): void {
    const inside = Math.max(0, Math.min(px, this.layout.height - 1));
    this.row = this.layout.rowAt(inside);
    this.offset = inside - this.layout.top(this.row);
  }

  /** By pixels, through rows as tall as they are drawn, and as tall as they are unwrapped beyond these. */
  moveBy(px: number): void {
    this.offset += px;
    while (this.offset < 0 && this.row > 0) this.offset += this.heightOf(--this.row);
    while (this.row < this.layout.rows - 1 && this.offset >= this.heightOf(this.row)) {
      this.offset -= this.heightOf(this.row++);
    }
    this.offset = Math.max(0, this.offset);
  }

  /** Shows a row with what is before it, a third of the view below its top. */
  show(row: number): void {
    this.atEnd = false;
    this.row = Math.max(0, Math.min(row, this.layout.rows - 1));
    this.offset = 0;
    this.moveBy(-Math.floor(this.viewPx / 3));
  }

  heightOf(row: number): number {
    const { first, tops } = this.drawn;
    const place = row - first;
    if (!this.exact && place >= 0 && place + 1 < tops.length) return tops[place + 1]! - tops[place]!;
    return row < this.layout.rows ? this.layout.top(row + 1) - this.layout.top(row) : LINE_PX;
  }

  /** Rows to draw, the last one excluded. */
  range(over: number): [first: number, end: number] {
    if (this.exact) this.#keepInside();
    const count = Math.ceil(this.viewPx / LINE_PX) + 1;
    if (this.atEnd) return [Math.max(0, this.layout.rows - count - over), this.layout.rows];
    return [Math.max(0, this.row - over), Math.min(this.layout.rows, this.row + count + over)];
  }
}
