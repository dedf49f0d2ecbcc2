/** Clicks in the list: one listener for all rows. */

import { copyLines } from "./copy";
import type { ViewState } from "./view-state";

export function clickIn(view: ViewState, event: MouseEvent): void {
  const target = event.target as Element;
  const number = target.closest<HTMLElement>(".log-number");
  if (number) return selectLine(view, event, Number(number.dataset["number"]) - 1);
  const fold = target.closest<HTMLElement>("[data-fold]");
  if (fold) return view.toggle(Number(fold.dataset["fold"]));
  const copy = target.closest<HTMLElement>("[data-copy]");
  if (copy) {
    const { first, last } = view.log.sections.value[Number(copy.dataset["copy"])]!;
    return void copyLines(view, first, last);
  }
  const rest = target.closest<HTMLElement>("[data-whole]");
  if (rest) view.showWhole(Number(rest.dataset["whole"]));
}

/** A line, or with shift all from the one that was selected. Other keys are the browser's: a new tab, a download. */
function selectLine(view: ViewState, event: MouseEvent, line: number): void {
  if (event.metaKey || event.ctrlKey || event.altKey) return;
  event.preventDefault();
  view.stay();
  const from = event.shiftKey ? (view.anchor ?? line) : line;
  if (!event.shiftKey) view.anchor = line;
  view.select(from, line);
}
