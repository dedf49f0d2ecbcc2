import { useState } from "preact/hooks";
import { request, type Schemas } from "../api/client";
import { useAction } from "../ui/action";
import { Confirm } from "../ui/dialog";
import { Note, Problem } from "../ui/form";
import { bytesOf } from "../ui/time";

type Report = Schemas["Garbage"];
const DEADLINE_MS = 10 * 60_000;

/** Removes what nothing needs any more; shows first what that would be. */
export function Garbage() {
  const [found, setFound] = useState<Report | null>(null);
  const [asked, setAsked] = useState(false);
  const action = useAction();
  const collect = (dry: boolean) =>
    request<Report>("POST", "/api/admin/gc", { query: { dry_run: dry }, timeout: DEADLINE_MS }).then(setFound);
  const due = found?.dry_run ? found.removed.length : 0;
  return (
    <div class="stack">
      <p class="soft">
        Layers, goldens and leftovers of builds that no template, build or computer needs take room until they are
        collected.
      </p>
      <div class="row">
        <button class="button" disabled={action.busy} onClick={() => void action.run(() => collect(true))}>
          {action.busy ? "Looking …" : "Look what could go"}
        </button>
        {due > 0 && (
          <button class="button danger" onClick={() => setAsked(true)}>
            Remove {due === 1 ? "it" : `these ${due}`}
          </button>
        )}
      </div>
      <Problem error={action.error} />
      <div role="status">{found && <GarbageReport found={found} />}</div>
      {asked && found && (
        <Confirm
          title="Remove what nothing needs?"
          verb="Remove"
          act={() => collect(false)}
          onClose={() => setAsked(false)}
        >
          <p>
            About {bytesOf(found.freed_bytes)} are freed. A later build may run steps again whose layers are gone.
            Nothing that a template, a build or a computer needs is touched.
          </p>
        </Confirm>
      )}
    </div>
  );
}

function GarbageReport({ found }: { found: Report }) {
  if (found.removed.length === 0) return <Note kind="ok">There is nothing to remove.</Note>;
  return (
    <div class="stack">
      <p>
        <strong>
          {found.dry_run ? "Could go" : "Removed"}: {found.removed.length}, {bytesOf(found.freed_bytes)}
        </strong>
      </p>
      <ul class="garbage" tabIndex={0} aria-label="What goes">
        {found.removed.map((entry) => (
          <li key={entry.what}>
            {entry.what}{" "}
            <span class="soft">
              {entry.why}, {bytesOf(entry.size_bytes)}
            </span>
          </li>
        ))}
      </ul>
    </div>
  );
}
