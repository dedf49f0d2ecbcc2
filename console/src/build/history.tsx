import { useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import type { Attempt } from "./api";
import { durationOf } from "../ui/duration";
import { cachedSteps } from "./compare";
import { attemptPath } from "./head";
import { SidePart } from "./side-part";
import { kindOf, standing } from "./standing";
import "./history.css";

const MOST = 24;

/** The attempts as bars, oldest first: as high as they took, in the colour of their result, and in phases where these
 * are known. Pointing at one tells about it; a click opens it. */
export function History(props: { buildRef: string; attempts: readonly Attempt[]; number: number | null }) {
  const [, go] = useLocation();
  const [told, setTold] = useState<number | null>(null);
  const shown = props.attempts.slice(0, MOST).toReversed();
  const longest = Math.max(1, ...shown.map((attempt) => attempt.build_time_ms ?? 0));
  const current = shown.find((attempt) => attempt.attempt === (told ?? props.number)) ?? shown.at(-1);
  if (shown.length < 2) return null;
  const newest = shown.at(-1)?.attempt;
  return (
    <SidePart title="History" open note={`${props.attempts.length} attempts`}>
      <ol class="bars" onMouseLeave={() => setTold(null)}>
        {shown.map((attempt) => (
          <li key={attempt.attempt}>
            <button
              class={`bar ${standing(kindOf(attempt)).tone}`}
              aria-label={describe(attempt)}
              aria-current={attempt.attempt === props.number ? "true" : undefined}
              onMouseEnter={() => setTold(attempt.attempt)}
              onFocus={() => setTold(attempt.attempt)}
              onBlur={() => setTold(null)}
              onClick={() => go(attemptPath(props.buildRef, attempt.attempt === newest ? null : attempt.attempt))}
            >
              <Bar attempt={attempt} longest={longest} />
            </button>
          </li>
        ))}
      </ol>
      {current && <Told attempt={current} />}
    </SidePart>
  );
}

function Bar({ attempt, longest }: { attempt: Attempt; longest: number }) {
  const height = `${Math.max(4, (100 * (attempt.build_time_ms ?? longest)) / longest)}%`;
  return (
    <span class={`bar-column ${attempt.finished_at === null ? "growing" : ""}`} style={{ height }}>
      {partsOf(attempt).map(([phase, ms]) => (
        <span key={phase} class="bar-part" style={{ flexGrow: ms }} />
      ))}
    </span>
  );
}

function Told({ attempt }: { attempt: Attempt }) {
  const slowest = partsOf(attempt)
    .toSorted((one, other) => other[1] - one[1])
    .slice(0, 3);
  return (
    <p class="bars-told">
      {describe(attempt)}
      {slowest.length > 0 && (
        <span class="soft">{` – ${slowest.map(([phase, ms]) => `${phase} ${durationOf(ms)}`).join(", ")}`}</span>
      )}
    </p>
  );
}

function describe(attempt: Attempt): string {
  const took = attempt.build_time_ms === null ? "" : ` in ${durationOf(attempt.build_time_ms)}`;
  const result = `Attempt ${attempt.attempt}: ${standing(kindOf(attempt)).word}${took}`;
  const cached = attempt.reused ? "an earlier golden was taken" : cachedSteps(attempt);
  return cached === null ? result : `${result}, ${cached}`;
}

/** The phases that took time, and how long. */
function partsOf(attempt: Attempt): [phase: string, ms: number][] {
  return Object.entries(attempt.phases_ms).filter(([, ms]) => ms > 0);
}
