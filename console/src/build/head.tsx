import { Link, useLocation } from "wouter-preact";
import { refPath } from "../api/client";
import type { Attempt } from "./api";
import { durationOf, ticking } from "../ui/duration";
import { kindOf, standing, type Standing } from "./standing";

interface HeadProps {
  buildRef: string;
  /** The attempt that is shown; null where it is not known, or there is none. */
  number: number | null;
  attempts: readonly Attempt[];
  stands: Standing;
  /** Milliseconds: the whole of it when it is over, so far while it runs; null while it waits. */
  took: number | null;
  isOver: boolean;
}

/** Which build this is and how it stands. */
export function BuildHead({ buildRef, number, attempts, stands, took, isOver }: HeadProps) {
  const [name = "", version = ""] = buildRef.split("@");
  const [namespace = "", short = ""] = name.split("/");
  return (
    <div class="build-head-text">
      <h1 class="build-name">
        <Link href={`/templates/${encodeURIComponent(namespace)}/${encodeURIComponent(short)}`}>
          <span class="soft">{namespace}/</span>
          {short}
        </Link>{" "}
        <span class="build-version">{version}</span>
      </h1>
      {number !== null && number > 0 && <AttemptChoice buildRef={buildRef} number={number} attempts={attempts} />}
      <span class={`badge ${stands.tone} build-badge`} role="status">
        {stands.word}
      </span>
      {took !== null && (
        <span class="build-time" role="timer" aria-label="Duration">
          {isOver ? durationOf(took) : ticking(took)}
        </span>
      )}
    </div>
  );
}

/** The attempt's number; a choice where there are others. */
function AttemptChoice(props: { buildRef: string; number: number; attempts: readonly Attempt[] }) {
  const [, go] = useLocation();
  const { attempts, number } = props;
  if (!attempts.some((other) => other.attempt !== number)) return <span class="soft">attempt {number}</span>;
  const newest = attempts[0]?.attempt ?? number;
  return (
    <select
      class="attempt-choice"
      aria-label="Attempt"
      value={number}
      onChange={(event) => {
        const chosen = Number(event.currentTarget.value);
        go(attemptPath(props.buildRef, chosen === newest ? null : chosen));
      }}
    >
      {attempts.map((other) => (
        <option key={other.attempt} value={other.attempt}>
          attempt {other.attempt}
          {other.attempt === number ? "" : ` – ${standing(kindOf(other)).word}`}
        </option>
      ))}
      {!attempts.some((other) => other.attempt === number) && <option value={number}>attempt {number}</option>}
    </select>
  );
}

/** The page of an attempt; null: of the one that is current. */
export function attemptPath(buildRef: string, attempt: number | null): string {
  return `/builds/${refPath(buildRef)}${attempt === null ? "" : `?attempt=${attempt}`}`;
}
