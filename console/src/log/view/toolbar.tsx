import { copyLines, copyText, curlOf } from "./copy";
import { SearchField } from "./search-field";
import { stamps, wrap, type Filter, type ViewState } from "./view-state";

const FILTERS: Record<Filter, string> = { all: "All lines", warnings: "Warnings and errors", errors: "Errors only" };

export function Toolbar({ view, field }: { view: ViewState; field: { current: HTMLInputElement | null } }) {
  const paused = view.frozen.value !== null;
  return (
    <div class="log-toolbar" role="toolbar" aria-label="Log">
      <SearchField view={view} field={field} />
      <label class="log-choice">
        <span class="visually-hidden">Lines shown</span>
        <select value={view.filter.value} onChange={(event) => view.show(event.currentTarget.value as Filter)}>
          {Object.entries(FILTERS).map(([value, label]) => (
            <option key={value} value={value}>
              {label}
            </option>
          ))}
        </select>
      </label>
      <button class="button quiet" onClick={() => view.nextError()} title="Next error (e)">
        Next error
      </button>
      <Toggle on={wrap.value === "on"} label="Wrap" title="Wrap long lines (w)" set={toggleWrap} />
      <label class="log-choice">
        <span class="visually-hidden">Timestamps</span>
        <select
          value={stamps.value}
          onChange={(event) => (stamps.value = event.currentTarget.value as typeof stamps.value)}
        >
          <option value="off">No times</option>
          <option value="relative">Since the start</option>
          <option value="absolute">Time of day</option>
        </select>
      </label>
      <Toggle
        on={view.follow.value}
        label="Follow"
        title="Move with the newest line (f)"
        set={(on) => (on ? view.toEnd() : view.stay())}
      />
      <Toggle
        on={paused}
        label={paused ? `Paused (${view.unseen.value.toLocaleString("en")} new)` : "Pause"}
        title="Stop moving; lines go on coming"
        set={(on) => view.pause(on)}
      />
      <More view={view} />
      <button class="button quiet" onClick={() => (view.help.value = true)} title="Keys (?)">
        <span aria-hidden="true">?</span>
        <span class="visually-hidden">Help: keys</span>
      </button>
    </div>
  );
}

export function toggleWrap(): void {
  wrap.value = wrap.value === "on" ? "off" : "on";
}

function Toggle(props: { on: boolean; label: string; title: string; set: (on: boolean) => void }) {
  return (
    <button class="button quiet" aria-pressed={props.on} title={props.title} onClick={() => props.set(!props.on)}>
      {props.label}
    </button>
  );
}

/** What is used less often. */
function More({ view }: { view: ViewState }) {
  const path = view.log.eventsPath.value;
  const file = (format: string) => `${path}${path.includes("?") ? "&" : "?"}follow=0&download=1&format=${format}`;
  const selected = view.selected.value;
  return (
    <details class="log-more" onToggle={(event) => event.currentTarget.open && closeOnLeave(event.currentTarget)}>
      <summary class="button quiet">More</summary>
      <div class="log-menu">
        <button disabled={selected === null} onClick={() => selected && void copyLines(view, ...selected)}>
          Copy the selected lines
        </button>
        <button onClick={() => void copyText(view, curlOf(view), "Copied the command.")}>Copy as curl</button>
        <a href={file("text")} download>
          Download as text
        </a>
        <a href={file("ndjson")} download>
          Download as NDJSON
        </a>
        <button onClick={() => view.openAll(true)}>Open all sections</button>
        <button onClick={() => view.openAll(false)}>Fold all sections</button>
      </div>
    </details>
  );
}

function closeOnLeave(menu: HTMLDetailsElement): void {
  const leave = (event: Event) => {
    const inside = event.target instanceof Node && menu.contains(event.target);
    if (event instanceof KeyboardEvent ? event.key !== "Escape" : event.type === "pointerdown" && inside) return;
    menu.open = false;
    for (const kind of ["pointerdown", "click", "keydown"]) removeEventListener(kind, leave);
  };
  for (const kind of ["pointerdown", "click", "keydown"]) addEventListener(kind, leave);
}
