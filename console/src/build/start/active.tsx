import { Link } from "wouter-preact";
import type { Attempt } from "../api";
import { ticking } from "../../ui/duration";
import { attemptPath } from "../head";
import { STRIP } from "../phases";
import { kindOf, standing } from "../standing";
import { at, ordinal, useNow } from "../times";
import "./start.css";

/** What builds or waits. `clock`: how far the server's is ahead, in milliseconds. */
export function ActiveBuilds({ builds, clock }: { builds: readonly Attempt[]; clock: number }) {
  const now = useNow(builds.length > 0) + clock;
  return (
    <section aria-labelledby="under-way">
      <h2 id="under-way">Under way</h2>
      {builds.length === 0 ? (
        <p class="soft">Nothing builds at the moment.</p>
      ) : (
        <ul class="active">
          {builds.map((build) => (
            <Active key={`${build.ref} ${build.attempt}`} build={build} now={now} />
          ))}
        </ul>
      )}
    </section>
  );
}

function Active({ build, now }: { build: Attempt; now: number }) {
  const stands = standing(kindOf(build));
  const since = at(build.started_at) ?? at(build.queued_at) ?? now;
  return (
    <li class="card active-build">
      <Link class="active-name" href={attemptPath(build.ref, null)}>
        {build.ref}
      </Link>
      <span class={`badge ${stands.tone}`}>{stands.word}</span>
      <span class="active-time">{ticking(now - since)}</span>
      <PhaseDashes build={build} />
      <span class="active-doing soft">{doing(build)}</span>
    </li>
  );
}

function doing(build: Attempt): string {
  if (build.state === "joined") return "waits for another build of the same content";
  if (build.state === "queued")
    return build.queue_position === null ? "in the queue" : `${ordinal(build.queue_position)} in the queue`;
  const steps = build.steps_cached > 0 ? ` (${build.steps_cached} cached)` : "";
  return `${build.step ?? build.phase ?? "begins"}${steps}`;
}

/** How far it is, phase by phase. */
function PhaseDashes({ build }: { build: Attempt }) {
  const reached = build.state === "running" ? STRIP.findIndex((phase) => phase === build.phase) : -1;
  return (
    <span class="dashes" role="img" aria-label={`Phase ${build.phase ?? "none yet"}`}>
      {STRIP.map((phase, place) => (
        <span key={phase} class={place < reached ? "done" : place === reached ? "here" : ""} />
      ))}
    </span>
  );
}
