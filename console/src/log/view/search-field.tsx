import { useState } from "preact/hooks";
import type { ViewState } from "./view-state";

/** The search: what is looked for, how often it is there, and the way from one to the next. */
export function SearchField({ view, field }: { view: ViewState; field: { current: HTMLInputElement | null } }) {
  const search = view.log.search.value;
  const text = view.typed.value;
  const [regex, setRegex] = useState(false);

  function key(event: KeyboardEvent) {
    if (event.key === "Escape") {
      view.find("", regex);
      field.current?.blur();
    } else if (event.key === "Enter") {
      event.preventDefault();
      if (text !== search.text || regex !== search.regex) view.find(text, regex);
      else view.step(event.shiftKey ? -1 : 1);
    }
  }

  return (
    <div class="log-search" role="search">
      <input
        ref={field}
        type="search"
        value={text}
        placeholder="Search (/)"
        aria-label="Search the log"
        title="Text as it is. Capitals count only where you type one."
        aria-describedby="log-search-count"
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => view.type(event.currentTarget.value, regex)}
        onKeyDown={key}
      />
      <button
        class="button quiet"
        aria-pressed={regex}
        title="Take the text as a regular expression"
        onClick={() => (setRegex(!regex), view.find(text, !regex))}
      >
        <span aria-hidden="true">.*</span>
        <span class="visually-hidden">Regular expression</span>
      </button>
      <output id="log-search-count" class="log-count">
        <Count view={view} />
      </output>
      <button class="button quiet" disabled={search.count === 0} onClick={() => view.step(-1)} title="Previous (N)">
        <span aria-hidden="true">↑</span>
        <span class="visually-hidden">Previous match</span>
      </button>
      <button class="button quiet" disabled={search.count === 0} onClick={() => view.step(1)} title="Next (n)">
        <span aria-hidden="true">↓</span>
        <span class="visually-hidden">Next match</span>
      </button>
    </div>
  );
}

/** Counts lines, not places in them. */
function Count({ view }: { view: ViewState }) {
  const { text, count, done, problem } = view.log.search.value;
  if (text === "") return null;
  if (problem !== "") return <span class="problem">{problem}</span>;
  const current = view.current.value;
  const all = count.toLocaleString("en");
  if (count === 0) return <>{done ? "not found" : "searching …"}</>;
  return (
    <>
      {current === null
        ? `${all} ${count === 1 ? "line" : "lines"}`
        : `${(current + 1).toLocaleString("en")} of ${all}`}
      {done ? "" : " …"}
    </>
  );
}
