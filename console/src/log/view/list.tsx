import { useLayoutEffect, useRef } from "preact/hooks";
import { drawPlace } from "./draw-place";
import { Line } from "./row";
import { clickIn } from "./clicks";
import { SectionHeader } from "./section-header";
import { stamps, wrap, type ViewState } from "./view-state";

const OVER = 16;
const AHEAD = 100;
const SETTLED_MS = 150;

/** The rows: those that are seen and a few more, in an element as tall as all of them. */
export function List({ view }: { view: ViewState }) {
  const { log, scroll } = view;
  const frame = useRef<HTMLDivElement>(null);
  const spacer = useRef<HTMLDivElement>(null);
  const rows = useRef<HTMLDivElement>(null);
  const layout = view.layout.value;
  view.moves.value;
  log.rows.version.value;
  log.marks.version.value;

  if (scroll.layout !== layout || scroll.exact !== (wrap.value === "off")) {
    scroll.relayout(layout, wrap.value === "off");
    if (!scroll.isScaled) view.settle = true;
  }
  if (view.follow.value) {
    scroll.atEnd = true;
    view.settle = true;
  }
  const [first, end] = scroll.range(OVER);
  askFor(view, first, end);
  useLayoutEffect(() => {
    drawPlace(view, { frame: frame.current!, spacer: spacer.current!, rows: rows.current! }, first);
  });
  useScrolling(view, frame);

  const drawn = [];
  for (let row = first; row < end; row++) drawn.push(drawRow(view, row));
  return (
    <div class={`log-frame ${wrap.value === "on" ? "wraps" : ""}`} ref={frame} tabIndex={0} aria-label="Build log">
      <div class="log-spacer" ref={spacer}>
        <div
          class="log-rows"
          ref={rows}
          role="log"
          aria-live="off"
          aria-label="Lines"
          onClick={(event) => clickIn(view, event)}
        >
          {drawn}
        </div>
      </div>
    </div>
  );
}

function drawRow(view: ViewState, row: number) {
  const { log } = view;
  const { section, line } = view.layout.value.at(row);
  if (line === null) {
    const sections = view.layout.value.sections;
    const open = view.isOpen(section);
    return <SectionHeader key={`s${section}`} {...{ sections, index: section, open }} clock={log.clock.value} />;
  }
  const selected = view.selected.value;
  const current = view.current.value;
  return (
    <Line
      key={line}
      line={line}
      row={log.rows.get(line)}
      stamp={stamps.value}
      epoch={log.epoch.value}
      selected={selected !== null && line >= selected[0] && line <= selected[1]}
      current={current !== null && current < log.matches.length && log.matches.at(current) === line}
      whole={view.whole.value.has(line)}
      finder={view.finderIn(line)}
    />
  );
}

/** What is drawn and what comes next in either direction. */
function askFor(view: ViewState, first: number, end: number): void {
  const layout = view.layout.value;
  const lines: number[] = [];
  const take = (row: number) => {
    const { line } = layout.at(row);
    if (line !== null) lines.push(line);
  };
  for (let row = first; row < end; row++) take(row);
  if (view.log.search.value.regex) askForMarks(view, lines);
  if (!view.follow.value) {
    for (let row = end; row < Math.min(end + AHEAD, layout.rows); row++) take(row);
    for (let row = Math.max(0, first - AHEAD); row < first; row++) take(row);
  }
  view.log.rows.want(lines);
}

function askForMarks({ log }: ViewState, lines: number[]): void {
  log.lists.value; // the matches are no signal
  log.marks.want(lines.filter((line) => log.matches.indexOf(line) >= 0));
}

function useScrolling(view: ViewState, frame: { current: HTMLDivElement | null }): void {
  useLayoutEffect(() => {
    const element = frame.current!;
    const { scroll } = view;
    let settling: ReturnType<typeof setTimeout> | undefined;
    const settle = () => {
      if (element.scrollTop === scroll.lastTop) view.move(); // else the reader goes on, and that is told in a moment
    };
    const scrolled = () => {
      const by = element.scrollTop - scroll.lastTop;
      if (by < 0 && grewAtEnd(element, scroll.viewPx)) scroll.lastTop = element.scrollTop; // not by the reader
      if (element.scrollTop === scroll.lastTop) return;
      if (by < 0) view.stay();
      view.shown = null;
      scroll.moved(element.scrollTop);
      if (by > 0 && isAtEnd(element) && view.frozen.value === null) view.follow.value = true;
      view.moves.value++;
      clearTimeout(settling);
      if (scroll.isScaled) settling = setTimeout(settle, SETTLED_MS);
    };
    const resized = new ResizeObserver(() => {
      element.style.setProperty("--log-width", `${element.clientWidth}px`);
      view.resized(element.clientHeight);
    });
    const selected = () => {
      const selection = getSelection();
      if (selection && !selection.isCollapsed && element.contains(selection.anchorNode)) view.stay();
    };
    element.addEventListener("scroll", scrolled, { passive: true });
    document.addEventListener("selectionchange", selected); // what is being selected does not run away
    resized.observe(element);
    return () => {
      clearTimeout(settling);
      element.removeEventListener("scroll", scrolled);
      document.removeEventListener("selectionchange", selected);
      resized.disconnect();
    };
  }, [view]);
}

/** Where a view gets taller than what is below it, the browser pulls it to the end. */
function grewAtEnd(element: HTMLElement, wasPx: number): boolean {
  return element.clientHeight > wasPx && belowPx(element) <= 1;
}

function isAtEnd(element: HTMLElement): boolean {
  return belowPx(element) < 4;
}

function belowPx(element: HTMLElement): number {
  return element.scrollHeight - element.clientHeight - element.scrollTop;
}
