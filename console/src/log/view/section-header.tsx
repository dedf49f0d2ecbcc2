import { durationOf, ticking } from "../../ui/duration";
import type { Mark, Section } from "../types";
import { now } from "./clock";

const MARKS: Record<Mark, string> = {
  running: "",
  done: "✓",
  cached: "≡",
  failed: "✗",
  cancelled: "⊘",
  timed_out: "⧖",
};
const SPOKEN: Record<Mark, string> = {
  running: "running",
  done: "done",
  cached: "cached",
  failed: "failed",
  cancelled: "cancelled",
  timed_out: "timed out",
};

interface Props {
  sections: readonly Section[];
  index: number;
  open: boolean;
  clock: number;
}

/** The row above a section's lines. Clicks are handled by the list. */
export function SectionHeader({ sections, index, open, clock }: Props) {
  const section = sections[index]!;
  const shown = shownAs(sections, index);
  const lines = section.first < 0 ? 0 : section.last - section.first + 1;
  return (
    <div class={`log-row log-header ${shown.mark}${shown.isPhase ? "" : " nested"}`} data-section={index}>
      <button class="log-fold" aria-expanded={open} disabled={lines === 0} data-fold={index}>
        <span class="log-arrow" aria-hidden="true">
          {lines === 0 ? "" : open ? "▾" : "▸"}
        </span>
        <span class="log-mark" aria-hidden="true">
          {MARKS[shown.mark]}
        </span>
        <span class="log-title">{shown.title}</span>
        <span class="visually-hidden">, {SPOKEN[shown.mark]}</span>
        {shown.reason && <span class="log-reason">{shown.reason}</span>}
      </button>
      {section.warnings > 0 && (
        <span class="badge warn">
          {section.warnings.toLocaleString("en")} {section.warnings === 1 ? "warning" : "warnings"}
        </span>
      )}
      <span class="log-took">{took(shown, clock)}</span>
      <button class="log-copy" data-copy={index} disabled={lines === 0} title="Copy all lines of this section">
        <svg viewBox="0 0 16 16" width="14" height="14" aria-hidden="true">
          <path d="M5 5V2h9v9h-3M2 5h9v9H2z" fill="none" stroke="currentColor" stroke-width="1.4" />
        </svg>
        <span class="visually-hidden">Copy the lines of {shown.title}</span>
      </button>
    </div>
  );
}

interface Shown {
  title: string;
  reason: string;
  mark: Mark;
  began: number;
  ended: number | null;
  isPhase: boolean;
}

/** A phase's first section stands for the whole of it. */
function shownAs(sections: readonly Section[], index: number): Shown {
  const section = sections[index]!;
  const { step, phase, began } = section;
  if (step !== null) {
    const word = { running: "run", cached: "cached", failed: "" }[section.mark as string] ?? "";
    const reason = [word, step.reason && `(${step.reason})`].filter(Boolean).join(" ");
    return { ...section, title: `${step.index}/${step.total} ${step.title}`, reason, isPhase: false };
  }
  if (sections[index - 1]?.phase === phase)
    return { ...section, title: `more of ${phase}`, reason: "", isPhase: false };
  let last = index;
  while (sections[last + 1]?.phase === phase) last++;
  const { mark, ended } = sections[last]!;
  return { title: phase, reason: "", mark: mark === "cached" ? "done" : mark, began, ended, isPhase: true };
}

function took(shown: Shown, clock: number): string {
  if (shown.mark === "cached") return "";
  return shown.ended === null ? ticking(now.value + clock - shown.began) : durationOf(shown.ended - shown.began);
}
