import { lazy, Suspense } from "preact/compat";
import { useEffect, useRef, useState } from "preact/hooks";
import { useHold } from "../ui/leaving";
import { Loading } from "../ui/states";
import { useChecks } from "./checks";
import type { CodeHandle } from "./code";
import { dropDraft, keepDraft } from "./drafts";
import { guessName, nameOf } from "./naming";
import { Publish } from "./publish";
import { loadSchema, type Schema } from "./schema";
import { Side } from "./side";
import { SKELETONS } from "./skeletons";

const Code = lazy(() => import("./code"));

interface DeskProps {
  /** Where the draft is kept. */
  place: string;
  first: string;
  saved: string;
  namespace: string;
  from: string | null;
  versions: readonly string[];
}

/** The editor with all that stands around it: name, publishing, problems, plan. */
export function Desk({ place, first, saved, namespace: given, from, versions }: DeskProps) {
  const [text, setText] = useState(first);
  const [namespace, setNamespace] = useState(given);
  const [schema, setSchema] = useState<Schema>();
  const code = useRef<CodeHandle | null>(null);
  const checks = useChecks(text);
  const isChanged = text !== saved;
  useHold(isChanged ? "The document is not published. Leave it? Your draft stays in this browser." : null);
  // Without the schema there is no completion; everything else works.
  useEffect(() => void loadSchema().then(setSchema, () => {}), []);
  useEffect(() => {
    if (text === saved) dropDraft(place);
    else if (text !== first) keepDraft(place, text);
  }, [text]);

  const { verdict } = checks;
  const { name, version } = verdict.state === "valid" ? nameOf(verdict.canonical) : guessName(text);

  return (
    <>
      <header class="page-head">
        <div>
          <h1>{name ? `${namespace}/${name}@${version}` : "New template"}</h1>
          {from && <p class="soft editor-from">made from {from}; comments are not kept in published documents</p>}
        </div>
        <Publish
          place={place}
          text={text}
          namespace={namespace}
          setNamespace={setNamespace}
          versions={versions}
          verdict={checks.verdict}
          replace={(next) => code.current?.replace(next)}
        />
      </header>
      {from === null && <Skeletons isChanged={isChanged} choose={(next) => code.current?.replace(next)} />}
      <div class="editor">
        <div class="editor-text">
          <Suspense fallback={<Loading what="the editor" />}>
            <Code
              value={first}
              label="Template document, YAML"
              onChange={setText}
              problems={checks.problems}
              schema={schema}
              handle={code}
            />
          </Suspense>
          <p class="soft editor-keys">
            Ctrl+Space completes. F8 goes to the next problem. Tab indents; press Escape first and Tab leaves the
            editor.
          </p>
        </div>
        <Side checks={checks} goTo={(problem) => code.current?.goTo(problem)} />
      </div>
    </>
  );
}

function Skeletons({ isChanged, choose }: { isChanged: boolean; choose: (text: string) => void }) {
  return (
    <label class="row">
      Start from
      <select
        class="filter skeletons"
        onChange={(event) => {
          const chosen = SKELETONS.find((skeleton) => skeleton.name === event.currentTarget.value);
          event.currentTarget.value = "";
          const isSure =
            !isChanged || window.confirm("Put the example in place of your text? Undo (Ctrl+Z) brings it back.");
          if (chosen && isSure) choose(chosen.text);
        }}
      >
        <option value="">an example …</option>
        {SKELETONS.map((skeleton) => (
          <option key={skeleton.name}>{skeleton.name}</option>
        ))}
      </select>
    </label>
  );
}
