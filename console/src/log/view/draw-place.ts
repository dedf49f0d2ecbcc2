/** Puts the drawn rows, and where it must, the scrollbar, where the place says. Runs behind each drawing. */

import type { ViewState } from "./view-state";

export interface Elements {
  frame: HTMLElement;
  spacer: HTMLElement;
  rows: HTMLElement;
}

export function drawPlace(view: ViewState, { frame, spacer, rows }: Elements, first: number): void {
  const { scroll } = view;
  const before = frame.scrollTop;
  if (scroll.take({ first, tops: topsOf(view, rows, first) })) view.moves.value++;
  spacer.style.height = `${scroll.spacerPx}px`;
  if (scroll.isScaled && scroll.row === 0 && scroll.offset === 0) view.settle = true;
  if (view.settle) {
    const ideal = scroll.ideal();
    if (Math.abs(frame.scrollTop - ideal) >= 1) frame.scrollTop = ideal;
    view.settle = false;
    scroll.lastTop = frame.scrollTop;
  } else if (frame.scrollTop !== before) scroll.lastTop = frame.scrollTop; // else a reader's move is yet to be told
  rows.style.transform = `translateY(${scroll.drawnTop()}px)`;
  const { place } = scroll;
  view.sticky.value = place !== null && (place.line !== null || scroll.offset > 0) ? place.section : -1;
}

/** Tops of the drawn rows, from the first one's, and the end. */
function topsOf({ scroll }: ViewState, rows: HTMLElement, first: number): number[] {
  const { layout } = scroll;
  const count = rows.childElementCount;
  if (scroll.exact) {
    const top = layout.top(first);
    return Array.from({ length: count + 1 }, (_, place) => layout.top(first + place) - top);
  }
  return [...Array.from(rows.children, (row) => (row as HTMLElement).offsetTop), rows.offsetHeight];
}
