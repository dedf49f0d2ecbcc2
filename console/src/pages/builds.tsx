import { Link } from "wouter-preact";
import { getOverview } from "../build/api";
import { ActiveBuilds } from "../build/start/active";
import { EndedBuilds } from "../build/start/ended";
import { FirstRun } from "../build/start/first-run";
import { may } from "../session";
import { usePoll } from "../ui/poll";
import { Failed, Loading } from "../ui/states";
import { useTitle } from "../ui/title";
import { Notice } from "../build/notice";

const EVERY_MS = 2000;
const ENDED = 20;

/** Where one arrives: what is under way, what ended last; the way in where nothing was built yet. */
export default function Builds() {
  const overview = usePoll((signal) => getOverview(ENDED, signal), EVERY_MS);
  const running = overview.value?.active.filter((build) => build.state === "running").length ?? 0;
  useTitle(running > 0 ? `${running} building` : "Builds");
  if (overview.value === undefined)
    return overview.error ? <Failed error={overview.error} retry={overview.reload} /> : <Loading what="the builds" />;
  const { active, ended, clock } = overview.value;
  if (active.length + ended.length === 0) return <FirstRun />;
  return (
    <div class="page">
      <div class="page-head">
        <h1>Builds</h1>
        {may("publish") && (
          <Link class="button" href="/templates/new">
            Write a template
          </Link>
        )}
      </div>
      {overview.error !== null && (
        <Notice tone="warn" role="status">
          This is how it was: {overview.error instanceof Error ? overview.error.message : String(overview.error)}
        </Notice>
      )}
      <ActiveBuilds builds={active} clock={clock} />
      <EndedBuilds builds={ended} />
    </div>
  );
}
