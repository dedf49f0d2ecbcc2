import { useEffect, useRef, useState } from "preact/hooks";
import { useLocation } from "wouter-preact";
import { getAttempt, type Attempt } from "./api";
import { durationOf } from "../ui/duration";
import { cachedSteps } from "./compare";
import { attemptPath } from "./head";
import { SidePart } from "./side-part";
import { kindOf, standing } from "./standing";
import "./history.css";

const MOST = 24;
const MOST_PARTED = 12;

type Parts = readonly (readonly [phase: string, ms: number])[];

/** The attempts as bars, oldest first: as high as they took, in the colour of their result, and in phases where these
 * are known. Pointing at one tells about it; a click opens it. */
export function History(props: { buildRef: string; attempts: readonly Attempt[]; number: number | null }) {
  const [, go] = useLocation();
  const [told, setTold] = useState<number | null>(null);
  const shown = props.attempts.slice(0, MOST).toReversed();
  const parts = useParts(props.buildRef, shown.slice(-MOST_PARTED));
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
              <Bar attempt={attempt} parts={parts.get(attempt.attempt) ?? []} longest={longest} />
            </button>
          </li>
        ))}
      </ol>
      {current && <Told attempt={current} parts={parts.get(current.attempt) ?? []} />}
    </SidePart>
  );
}

function Bar({ attempt, parts, longest }: { attempt: Attempt; parts: Parts; longest: number }) {
  const height = `${Math.max(4, (100 * (attempt.build_time_ms ?? longest)) / longest)}%`;
  return (
    <span class={`bar-column ${attempt.finished_at === null ? "growing" : ""}`} style={{ height }}>
      {parts.map(([phase, ms]) => (
        <span key={phase} class="bar-part" style={{ flexGrow: ms }} />
      ))}
    </span>
  );
}

function Told({ attempt, parts }: { attempt: Attempt; parts: Parts }) {
  const slowest = parts.toSorted((one, other) => other[1] - one[1]).slice(0, 3);
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

/** How long the phases of finished attempts took: of the manifest, else of their steps. Asked one after the other. */
function useParts(buildRef: string, attempts: readonly Attempt[]): ReadonlyMap<number, Parts> {
  const [known, setKnown] = useState<ReadonlyMap<number, Parts>>(new Map());
  const asked = useRef(new Set<number>());
  // One that took over an earlier golden has that one's manifest.
  const wanted = attempts
    .filter((attempt) => attempt.finished_at !== null && !attempt.reused)
    .map((attempt) => attempt.attempt);
  useEffect(() => {
    const ended = new AbortController();
    const ask = async () => {
      for (const attempt of wanted.toReversed().filter((number) => !asked.current.has(number))) {
        const detail = await getAttempt(buildRef, attempt, ended.signal);
        asked.current.add(attempt);
        setKnown((before) => new Map(before).set(attempt, partsOf(detail.manifest, detail.steps)));
      }
    };
    ask().catch(() => {}); // bars without parts tell enough
    return () => ended.abort();
  }, [buildRef, wanted.join()]);
  return known;
}

function partsOf(manifest: unknown, steps: readonly { phase: string; duration_ms: number | null }[]): Parts {
  const timings = (manifest as { timings_ms?: { phases?: Record<string, number> } } | null)?.timings_ms?.phases;
  if (timings) return Object.entries(timings).filter(([, ms]) => ms > 0);
  const sums = new Map<string, number>();
  for (const step of steps) sums.set(step.phase, (sums.get(step.phase) ?? 0) + (step.duration_ms ?? 0));
  return [...sums].filter(([, ms]) => ms > 0);
}
