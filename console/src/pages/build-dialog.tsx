import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { refPath, request, templatePath } from "../api/client";
import type { Build } from "../api/types";
import { useAction } from "../ui/action";
import { Dialog } from "../ui/dialog";
import { Field, Problem } from "../ui/form";

const FLAGS = [
  ["force", "Build even though a golden of this content is there"],
  ["no_cache", "Ignore known layers: run every step"],
  ["refresh", "Take the newest base image"],
] as const;

/** Starts a build and goes to its page. */
export function BuildDialog({ build, onClose }: { build: Build; onClose: () => void }) {
  const isReady = build.status === "ready";
  const [flags, setFlags] = useState<Record<string, boolean>>({ force: isReady });
  const [keep, setKeep] = useState("0");
  const action = useAction();
  const [, navigate] = useLocation();

  async function start(event: Event) {
    event.preventDefault();
    const query = { ...flags, ...(keep === "0" ? {} : { keep_on_failure: keep }) };
    if (await action.run(() => request("POST", `${templatePath(build.ref)}/build`, { query }))) {
      navigate(`/builds/${refPath(build.ref)}`);
    }
  }

  return (
    <Dialog title={`Build ${build.ref}`} onClose={onClose}>
      <form class="stack" onSubmit={(event) => void start(event)}>
        <fieldset>
          <legend>How</legend>
          {FLAGS.map(([flag, words]) => (
            <label key={flag} class="check">
              <input
                type="checkbox"
                checked={flags[flag] ?? false}
                onChange={(event) => setFlags({ ...flags, [flag]: event.currentTarget.checked })}
              />
              <span>{words}</span>
            </label>
          ))}
        </fieldset>
        <Field
          label="When a step fails"
          hint="A held machine takes commands, to find out why. Secrets may still be in it."
        >
          <select value={keep} onChange={(event) => setKeep(event.currentTarget.value)}>
            <option value="0">End its machine</option>
            <option value="900">Hold its machine for 15 minutes</option>
            <option value="3600">Hold its machine for an hour</option>
          </select>
        </Field>
        <Problem error={action.error} />
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button class="button primary" disabled={action.busy}>
            {action.busy ? "Starting …" : "Build"}
          </button>
        </footer>
      </form>
    </Dialog>
  );
}
