import { useState } from "preact/hooks";
import { useParams } from "wouter-preact";
import { ApiError, request, templatePath } from "../api/client";
import { CURATED, partsOf, type Item } from "../api/types";
import { draftOf, dropDraft, type Draft } from "../editor/drafts";
import { Desk } from "../editor/desk";
import { nameOf, nextVersion, withVersion } from "../editor/naming";
import { SKELETONS } from "../editor/skeletons";
import { writeYaml } from "../editor/yaml";
import { may, session } from "../session";
import { Note } from "../ui/form";
import { usePoll } from "../ui/poll";
import { Empty, Failed, Loading, Missing } from "../ui/states";
import { Ago } from "../ui/time";
import { useTitle } from "../ui/title";
import "../editor/editor.css";

interface Start {
  /** What the page begins with where there is no draft. */
  text: string;
  namespace: string;
  /** What it is made from; null for a new one. */
  from: string | null;
  versions: readonly string[];
}

/** Writes a document: a new one, or the next version of one that is there. */
export default function Editor() {
  const { namespace, name, version } = useParams<{ namespace?: string; name?: string; version?: string }>();
  const ref = namespace && name && version ? `${namespace}/${name}@${version}` : null;
  useTitle(ref ? `Edit ${ref}` : "New template");
  const { value, error, reload } = usePoll((signal) => load(ref, signal), null, [ref]);
  if (!may("publish")) {
    return (
      <Empty title="This key may not publish">
        <p>Templates need the scope publish. Sign in with a key that has it.</p>
      </Empty>
    );
  }
  if (error instanceof ApiError && error.status === 404) return <Missing what="version" />;
  if (error && !value) return <Failed error={error} retry={reload} />;
  return value ? <WithDraft key={ref ?? "new"} start={value} /> : <Loading what="the document" />;
}

/** What is typed here is kept, and is here again after a reload. */
function WithDraft({ start }: { start: Start }) {
  const place = `${session.value?.account ?? ""}:${start.from ?? "new"}`;
  const [draft, setDraft] = useState<Draft | null>(() => {
    const kept = draftOf(place);
    return kept && kept.text !== start.text ? kept : null;
  });
  const [round, setRound] = useState(0);
  function discard() {
    dropDraft(place);
    setDraft(null);
    setRound(round + 1);
  }
  return (
    <div class="editor-page">
      {draft && (
        <Note kind="warn">
          <span class="row">
            This is your draft, last changed <Ago at={draft.at} />.
            <button class="button" onClick={discard}>
              Discard it
            </button>
          </span>
        </Note>
      )}
      <Desk
        key={round}
        place={place}
        first={draft?.text ?? start.text}
        saved={start.text}
        namespace={start.namespace}
        from={start.from}
        versions={start.versions}
      />
    </div>
  );
}

async function load(ref: string | null, signal: AbortSignal): Promise<Start> {
  if (ref === null) return { text: SKELETONS[0]!.text, namespace: "default", from: null, versions: [] };
  const { namespace, name } = partsOf(ref);
  const item = await request<Item>("GET", templatePath(ref), { signal });
  const listed = await request<{ versions: Item[] }>(
    "GET",
    `/api/templates/${encodeURIComponent(namespace)}/${encodeURIComponent(name)}`,
    { signal },
  );
  const versions = listed.versions.map((other) => partsOf(other.ref).version);
  const written = writeYaml(item.template);
  const { version } = nameOf(item.template);
  const text = withVersion(written, version, nextVersion(version, new Set(versions))) ?? written;
  return { text, namespace: namespace === CURATED ? "default" : namespace, from: ref, versions };
}
