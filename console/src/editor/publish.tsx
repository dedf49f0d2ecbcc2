import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { ApiError, refPath, request } from "../api/client";
import { may } from "../session";
import { useAction } from "../ui/action";
import { Dialog } from "../ui/dialog";
import { Note, Problem } from "../ui/form";
import { letGo } from "../ui/leaving";
import { toast } from "../ui/toast";
import { validate, type Verdict } from "./checks";
import { dropDraft } from "./drafts";
import { nameOf, nextVersion, withVersion } from "./naming";

interface PublishProps {
  place: string;
  text: string;
  namespace: string;
  setNamespace: (namespace: string) => void;
  versions: readonly string[];
  verdict: Verdict;
  replace: (text: string) => void;
}

interface Published {
  ref: string;
  warnings?: string[];
  auto_build?: string;
}

type Asked = { builds: boolean; name: string; version: string; message: string };

/** The namespace, and the buttons that publish. */
export function Publish({ place, text, namespace, setNamespace, versions, verdict, replace }: PublishProps) {
  const action = useAction();
  const [conflict, setConflict] = useState<Asked | null>(null);
  const [, navigate] = useLocation();

  /** Publishes what is typed, as the server reads it now. */
  async function publish(builds: boolean, force: boolean) {
    const { canonical } = await validate(text);
    const { name, version } = nameOf(canonical);
    try {
      const json = { namespace, name, version, template: canonical };
      const query = { auto_build: builds, force };
      onPublished(await request<Published>("POST", "/api/templates", { json, query }), builds);
    } catch (error) {
      if (!(error instanceof ApiError) || error.code !== "version_exists") throw error;
      setConflict({ builds, name, version, message: error.message });
    }
  }

  function onPublished(done: Published, builds: boolean) {
    dropDraft(place);
    letGo();
    if (done.auto_build === "not_built") toast(`${done.ref} is published; the queue is full, build it later`, "bad");
    else toast(`${done.ref} is published`);
    const [path = "", version = ""] = done.ref.split("@");
    navigate(
      builds && done.auto_build !== "not_built"
        ? `/builds/${refPath(done.ref)}`
        : `/templates/${path}?version=${encodeURIComponent(version)}`,
    );
  }

  const isBarred = action.busy || verdict.state === "invalid";
  return (
    <div class="publish">
      <div class="row">
        <label class="row">
          Namespace
          <input
            class="filter namespace"
            value={namespace}
            spellcheck={false}
            onInput={(event) => setNamespace(event.currentTarget.value)}
          />
        </label>
        <button class="button" disabled={isBarred} onClick={() => void action.run(() => publish(false, false))}>
          Publish
        </button>
        {may("build") && (
          <button
            class="button primary"
            disabled={isBarred}
            onClick={() => void action.run(() => publish(true, false))}
          >
            {action.busy ? "Publishing …" : "Publish and build"}
          </button>
        )}
      </div>
      <Problem error={action.error} />
      {conflict && (
        <VersionTaken
          {...conflict}
          next={nextVersion(conflict.version, new Set(versions))}
          onNext={(version) => {
            const changed = withVersion(text, conflict.version, version);
            setConflict(null);
            if (changed === null) toast(`Write version ${version} into the document, then publish again.`, "bad");
            else replace(changed);
          }}
          force={() => publish(conflict.builds, true)}
          onClose={() => setConflict(null)}
        />
      )}
    </div>
  );
}

interface TakenProps extends Asked {
  next: string;
  onNext: (version: string) => void;
  force: () => Promise<void>;
  onClose: () => void;
}

/** The version is there with other content: another version, or this content in its place. */
function VersionTaken({ name, version, message, next, onNext, force, onClose }: TakenProps) {
  const action = useAction();
  return (
    <Dialog title={`${name}@${version} is there already`} onClose={onClose}>
      <div class="dialog-body">
        <p>{message}</p>
        <p>
          The next version, {next}, keeps both: what was built from {version} stays as it is. The document is changed,
          and you publish it when you have looked at it.
        </p>
        <Note kind="warn">
          <p>
            Replacing puts this content in place of the old, for everyone who uses {version}. A build of the old content
            that runs is cancelled. Computers made from it stay.
          </p>
        </Note>
      </div>
      <Problem error={action.error} />
      <footer class="dialog-foot">
        <button class="button" onClick={onClose}>
          Cancel
        </button>
        <button class="button danger" disabled={action.busy} onClick={() => void action.run(force)}>
          Replace {version}
        </button>
        <button class="button primary" autofocus onClick={() => onNext(next)}>
          Make it {next}
        </button>
      </footer>
    </Dialog>
  );
}
