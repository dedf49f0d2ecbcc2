import { useState } from "preact/hooks";
import type { BuildFlags } from "./api";
import { KEEP_SECONDS } from "./advice";
import type { Action } from "../ui/action";
import { Dialog, DialogFoot } from "../ui/dialog";
import { Problem } from "../ui/form";
import "./build-dialog.css";

const WAYS = [
  {
    way: "same",
    title: "With what is known",
    says: "Runs what changed, takes every layer that is known.",
    flags: { force: true },
  },
  { way: "no_cache", title: "Without cache", says: "Runs every step anew.", flags: { no_cache: true } },
  {
    way: "refresh",
    title: "On the newest base image",
    says: "Fetches the base anew; everything runs on it.",
    flags: { refresh: true },
  },
] as const;

const KEEPS = [
  { seconds: 600, label: "10 minutes" },
  { seconds: KEEP_SECONDS, label: "30 minutes" },
  { seconds: 7200, label: "2 hours" },
];

/** Asks how to build. `again`: it was built before. `running`: the attempt that is under way, which a new one would have to
 * end first. `action`: the request, where the dialog stays until it went well. */
export function BuildDialog(props: {
  again: boolean;
  running: number | null;
  action?: Action;
  onBuild: (flags: BuildFlags) => void;
  onClose: () => void;
}) {
  const [way, setWay] = useState<(typeof WAYS)[number]["way"]>("same");
  const [keep, setKeep] = useState(0);
  const flags: BuildFlags = { ...WAYS.find((entry) => entry.way === way)?.flags };
  if (keep > 0) flags.keep_on_failure = keep;
  return (
    <Dialog title={props.again ? "Build it again" : "Build it"} onClose={props.onClose}>
      {props.running !== null && (
        <p role="note">
          <strong>Attempt {props.running} is under way.</strong> It is cancelled, and a new attempt begins behind the
          steps that it finished.
        </p>
      )}
      <form
        class="dialog-body"
        onSubmit={(event) => {
          event.preventDefault();
          props.onBuild(flags);
        }}
      >
        <fieldset class="choices">
          <legend class="visually-hidden">How</legend>
          {WAYS.map((entry) => (
            <label key={entry.way} class="choice">
              <input type="radio" name="way" checked={way === entry.way} onChange={() => setWay(entry.way)} />
              {entry.title}
              <small>{entry.says}</small>
            </label>
          ))}
        </fieldset>
        <label class="choice">
          <input
            type="checkbox"
            checked={keep > 0}
            onChange={(event) => setKeep(event.currentTarget.checked ? KEEP_SECONDS : 0)}
          />
          Keep the machine if a step fails
          <small>
            It stands as the step left it, so that <code>ingot debug</code> can look into it.
          </small>
          {keep > 0 && (
            <select
              class="choice-more"
              aria-label="For how long"
              value={keep}
              onChange={(event) => setKeep(Number(event.currentTarget.value))}
            >
              {KEEPS.map((entry) => (
                <option key={entry.seconds} value={entry.seconds}>
                  for {entry.label}
                </option>
              ))}
            </select>
          )}
        </label>
        <Problem error={props.action?.error} />
        <DialogFoot
          verb={props.running === null ? "Build" : "Cancel it and build"}
          doing="Starting …"
          busy={props.action?.busy ?? false}
          onClose={props.onClose}
        />
      </form>
    </Dialog>
  );
}

/** Asks once more before a build is ended. */
export function CancelDialog(props: { name: string; waits: boolean; onCancel: () => void; onClose: () => void }) {
  return (
    <Dialog title={`Cancel the build of ${props.name}?`} onClose={props.onClose}>
      <p class="dialog-body">
        {props.waits
          ? "It leaves the queue, and loses its place in it."
          : "Its machine ends within seconds. The steps that are finished are kept: a new build goes on behind them."}
      </p>
      <div class="dialog-foot">
        <button class="button" onClick={props.onClose}>
          Let it build
        </button>
        <button class="button danger" onClick={props.onCancel}>
          Cancel the build
        </button>
      </div>
    </Dialog>
  );
}
