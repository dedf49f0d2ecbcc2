import { Link, useLocation } from "wouter-preact";
import { may } from "../../session";
import { useAction } from "../../ui/action";
import { durationOf } from "../../ui/duration";
import { Problem } from "../../ui/form";
import { Ago } from "../../ui/time";
import { launchComputer, type Attempt } from "../api";
import { cachedSteps } from "../compare";
import { attemptPath } from "../head";
import { kindOf, standing } from "../standing";

/** What ended last, newest first; what is ready can be launched from here. */
export function EndedBuilds({ builds }: { builds: readonly Attempt[] }) {
  const launch = useAction();
  const [, go] = useLocation();
  if (builds.length === 0) return null;
  const start = (ref: string) => launch.run(async () => go(`/computers/${await launchComputer(ref)}`));
  return (
    <section aria-labelledby="ended">
      <h2 id="ended">Ended</h2>
      <Problem error={launch.error} />
      <table class="list ended">
        <thead>
          <tr>
            <th scope="col">Build</th>
            <th scope="col">Result</th>
            <th scope="col">Duration</th>
            <th scope="col">When</th>
            <th scope="col">
              <span class="visually-hidden">What next</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {builds.map((build, place) => (
            <Ended
              key={`${build.ref} ${build.attempt}`}
              build={build}
              isNewest={builds.findIndex((other) => other.ref === build.ref) === place}
              busy={launch.busy}
              onLaunch={() => void start(build.ref)}
            />
          ))}
        </tbody>
      </table>
    </section>
  );
}

function Ended(props: { build: Attempt; isNewest: boolean; busy: boolean; onLaunch: () => void }) {
  const { build } = props;
  const stands = standing(kindOf(build));
  const path = attemptPath(build.ref, props.isNewest ? null : build.attempt);
  return (
    <tr>
      <td>
        <Link href={path}>{build.ref}</Link> <span class="soft">attempt {build.attempt}</span>
      </td>
      <td>
        <span class={`badge ${stands.tone}`}>{stands.word}</span> <span class="soft ended-why">{why(build)}</span>
      </td>
      <td class="ended-time">{build.build_time_ms === null ? "" : durationOf(build.build_time_ms)}</td>
      <td class="ended-time">{build.finished_at && <Ago at={build.finished_at} />}</td>
      <td class="ended-next">
        {props.isNewest && build.golden_dir !== null && may("launch") && (
          <button
            class="button"
            disabled={props.busy}
            aria-label={`Launch a computer of ${build.ref}`}
            onClick={props.onLaunch}
          >
            Launch
          </button>
        )}
      </td>
    </tr>
  );
}

function why(build: Attempt): string {
  if (build.failure !== null) return build.failure.code === "cancelled" ? "" : build.failure.message;
  return build.reused ? "an earlier golden was taken" : (cachedSteps(build) ?? "");
}
