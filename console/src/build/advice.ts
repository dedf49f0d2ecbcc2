/** What each failure means and what to do next: a sentence and buttons. Pure. */

import type { BuildFlags, FailureCode } from "./api";

export type Step =
  | { do: "build"; label: string; flags: BuildFlags }
  | { do: "edit"; label: string }
  | { do: "look"; label: string } // goes to the line that failed
  | { do: "builds"; label: string }
  | { do: "report"; label: string };

export interface Advice {
  title: string;
  says: string;
  /** The first is the one that most likely helps. */
  steps: Step[];
}

export const KEEP_SECONDS = 1800;

const AGAIN: BuildFlags = { force: true };
const KEEP: Step = {
  do: "build",
  label: "Build again and keep the machine",
  flags: { force: true, keep_on_failure: KEEP_SECONDS },
};
const LOOK: Step = { do: "look", label: "Show where it failed" };

export const ADVICE: Record<FailureCode, Advice> = {
  step_failed: {
    title: "A step failed",
    says: "Its last lines most likely say why. Mend it in the template: the steps before it are kept, so the next build goes on from here.",
    steps: [{ do: "edit", label: "Edit the template" }, KEEP],
  },
  out_of_memory: {
    title: "The machine ran out of memory",
    says: "The step needed more memory than the machine has. Raise hardware.ram_gb in the template, or let the step do less at once.",
    steps: [{ do: "edit", label: "Raise hardware.ram_gb" }, LOOK],
  },
  out_of_disk: {
    title: "The machine's disk is full",
    says: "The step wrote more than the disk holds. Raise hardware.disk_gb in the template, or remove what the step leaves behind.",
    steps: [{ do: "edit", label: "Raise hardware.disk_gb" }, KEEP],
  },
  ready_check_failed: {
    title: "A health check did not pass",
    says: "The services started, but one did not become healthy in time. What it printed is in the log, under its app's name.",
    steps: [{ ...LOOK, label: "Show what it printed" }, KEEP, { do: "edit", label: "Edit the template" }],
  },
  network: {
    title: "Something could not be fetched",
    says: "A download failed. Often that passes: what is finished is kept, so trying again costs little. Otherwise look at the address in the log.",
    steps: [{ do: "build", label: "Try again", flags: AGAIN }, LOOK],
  },
  timed_out: {
    title: "It took too long",
    says: "The step or the whole build passed its time limit. If it hung, its last lines show where; if it only needs longer, raise build.timeout in the template, or ask the operator for more.",
    steps: [{ ...LOOK, label: "Show where it stood" }, { do: "edit", label: "Edit the template" }, KEEP],
  },
  cancelled: {
    title: "Cancelled",
    says: "Somebody ended this build. The steps that were finished are kept: a new build goes on behind them.",
    steps: [{ do: "build", label: "Build again", flags: AGAIN }],
  },
  queue_expired: {
    title: "No builder was free in time",
    says: "The build waited until its time in the queue was over. Nothing is wrong with the template; queue it again when less is under way.",
    steps: [
      { do: "build", label: "Queue it again", flags: {} },
      { do: "builds", label: "See what is under way" },
    ],
  },
  machine_lost: {
    title: "The build machine was lost",
    says: "The machine ended by itself in the middle of the build. That is not the template's fault as a rule: try again; if it stays so, its host needs a look.",
    steps: [
      { do: "build", label: "Try again", flags: AGAIN },
      { do: "report", label: "Copy a report" },
    ],
  },
  internal: {
    title: "Ingot failed",
    says: "This is not the template's fault. Try again; if it stays so, the report tells the operator what the server's log needs to be searched for.",
    steps: [
      { do: "build", label: "Try again", flags: AGAIN },
      { do: "report", label: "Copy a report" },
    ],
  },
};
