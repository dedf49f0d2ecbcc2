import type { Log } from "../log";
import type { AttemptDetail } from "./api";
import { durationOf, ticking } from "../ui/duration";
import { SAYS, strip, stripOf, type PhasePart } from "./phases";
import type { Kind } from "./standing";
import "./phase-strip.css";

const MARKS: Record<PhasePart["state"], string> = { ahead: "·", running: "●", done: "✓", failed: "✗", stopped: "⊘" };
const WORDS: Record<PhasePart["state"], string> = {
  ahead: "not begun",
  running: "under way",
  done: "done",
  failed: "failed",
  stopped: "stopped",
};

interface PhasesProps {
  log: Log;
  kind: Kind;
  own: AttemptDetail | undefined;
  /** The server's time. */
  now: number;
}

/** The phases of a build, each with its state and its duration. A click shows where it begins in the log. */
export function Phases({ log, kind, own, now }: PhasesProps) {
  const sections = log.sections.value;
  const last = sections.at(-1);
  const ended = log.end.value === null ? null : (last?.ended ?? last?.began ?? null);
  const timings = (own?.manifest as { timings_ms?: { phases?: Record<string, number> } } | null)?.timings_ms?.phases;
  const parts = sections.length > 0 ? strip(sections, kind, ended) : stripOf(timings ?? {}, own?.phase ?? null, kind);
  return <PhaseStrip parts={parts} now={now} onReveal={(line) => log.reveal(line)} />;
}

function PhaseStrip(props: { parts: readonly PhasePart[]; now: number; onReveal: (line: number) => void }) {
  const last = props.parts.findLast((part) => part.state !== "ahead");
  return (
    <ol class="phases" aria-label="Phases">
      {props.parts.map((part) => (
        <li
          key={part.phase}
          class={`phase ${part.state} ${part === last ? "last" : ""}`}
          aria-current={part.state === "running" ? "step" : undefined}
        >
          <button
            disabled={part.line < 0}
            title={`${part.phase}: ${SAYS[part.phase]}`}
            onClick={() => props.onReveal(part.line)}
          >
            <span class="phase-name">
              <span aria-hidden="true">{MARKS[part.state]}</span> <span class="phase-word">{part.phase}</span>
              <span class="visually-hidden">, {WORDS[part.state]}</span>
            </span>
            <span class="phase-time">{timeOf(part, props.now)}</span>
          </button>
        </li>
      ))}
    </ol>
  );
}

function timeOf(part: PhasePart, now: number): string {
  if (part.began === null || part.phase === "ready") return "";
  return part.ended === null ? ticking(now - part.began) : durationOf(part.ended - part.began);
}
