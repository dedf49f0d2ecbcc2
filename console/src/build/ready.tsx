import { may } from "../session";
import type { Attempt } from "./api";
import { durationOf } from "../ui/duration";
import { cachedSteps, comparison } from "./compare";
import { Notice } from "./notice";

interface ReadyProps {
  number: number;
  took: number | null;
  attempts: readonly Attempt[];
  /** The newest golden is this attempt's: it is the one that a launch takes. */
  isLaunched: boolean;
  busy: boolean;
  onLaunch: () => void;
}

/** A golden is there: what it took, and what comes next. */
export function ReadyNotice({ number, took, attempts, isLaunched, busy, onLaunch }: ReadyProps) {
  const own = attempts.find((other) => other.attempt === number);
  const facts = own?.reused
    ? ["the same content was built before, so its golden snapshot was taken"]
    : [took === null ? null : comparison(attempts, number, took), own ? cachedSteps(own) : null];
  const said = facts.filter((fact) => fact !== null).join("; ");
  return (
    <Notice
      tone="ok"
      class="ending"
      actions={
        isLaunched &&
        may("launch") && (
          <button class="button primary" disabled={busy} onClick={onLaunch}>
            {busy ? "Launching …" : "Launch a computer"}
          </button>
        )
      }
    >
      <p>
        <strong>Golden snapshot ready</strong>
        {took !== null && ` in ${durationOf(took)}`}
        {said && <span class="soft">: {said}</span>}
      </p>
    </Notice>
  );
}
