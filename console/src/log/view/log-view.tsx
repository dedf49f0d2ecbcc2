import { useEffect, useMemo, useRef } from "preact/hooks";
import { PageLog } from "../page-log";
import type { Log } from "../types";
import { clickIn } from "./clicks";
import { Help } from "./help";
import { isTyping, pressed } from "./keys";
import { List } from "./list";
import { Nothing } from "./nothing";
import { SectionHeader } from "./section-header";
import { Toolbar, toggleWrap } from "./toolbar";
import { ViewState } from "./view-state";
import "./log.css";

/** A log that `openLog` opened. It fills the height it is given. */
export function LogView({ log }: { log: Log }) {
  if (!(log instanceof PageLog)) throw new TypeError("LogView shows what openLog opened");
  const view = useMemo(() => new ViewState(log), [log]);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => () => view.close(), [view]);
  useEffect(() => {
    const actions = { focusSearch: () => field.current?.select(), toggleWrap };
    const key = (event: KeyboardEvent) => {
      const isEdge = event.key === "Home" || event.key === "End";
      if ((event.ctrlKey && !isEdge) || event.metaKey || event.altKey) return;
      if (event.defaultPrevented || isTyping(event.target)) return;
      if (pressed(view, event.key, actions)) event.preventDefault();
    };
    addEventListener("keydown", key);
    addEventListener("hashchange", view.selectFromHash);
    return () => {
      removeEventListener("keydown", key);
      removeEventListener("hashchange", view.selectFromHash);
    };
  }, [view]);
  const connection = log.connection.value;
  const resumed = connection.state === "live" && connection.resumed;
  return (
    <section class="log" aria-label="Log" data-stream={resumed ? "resumed" : connection.state}>
      <Toolbar view={view} field={field} />
      <div class="log-body">
        {log.lines.value === 0 ? <Nothing log={log} /> : <List view={view} />}
        <Sticky view={view} />
        <Latest view={view} />
      </div>
      <Spoken view={view} />
      <Help view={view} />
    </section>
  );
}

/** The header of the section that one is in. */
function Sticky({ view }: { view: ViewState }) {
  const index = view.sticky.value;
  const sections = view.layout.value.sections;
  if (index < 0 || index >= sections.length) return null;
  return (
    <div class="log-sticky" onClick={(event) => clickIn(view, event)}>
      <SectionHeader sections={sections} index={index} open={view.isOpen(index)} clock={view.log.clock.value} />
    </div>
  );
}

function Latest({ view }: { view: ViewState }) {
  if (view.follow.value || view.log.lines.value === 0) return null;
  const unseen = view.unseen.value;
  if (unseen === 0 && view.log.end.value !== null) return null;
  return (
    <button class="log-latest button primary" onClick={() => view.toEnd()}>
      ↓ Jump to latest{unseen > 0 ? ` (${unseen.toLocaleString("en")} new)` : ""}
    </button>
  );
}

/** What is said aloud: not each line, but what was done, and the end. */
function Spoken({ view }: { view: ViewState }) {
  const notice = view.notice.value;
  useEffect(() => {
    if (notice === "") return;
    const timer = setTimeout(() => view.tell(""), 6000);
    return () => clearTimeout(timer);
  }, [notice]);
  return (
    <div role="status">
      {notice && <p class="log-notice">{notice}</p>}
      <span class="visually-hidden">{view.log.end.value?.line}</span>
    </div>
  );
}
