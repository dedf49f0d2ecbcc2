import { may } from "../session";
import { Empty, Missing } from "../ui/states";
import type { Watched } from "./watched";
import type { Work } from "./work";

/** What stands where the log would be. */
export function NoLog({ watched, work }: { watched: Watched; work: Work }) {
  const connection = watched.log.connection.value;
  if (watched.kind === "not_built" || watched.refused === "not_built") return <NotBuilt {...{ watched, work }} />;
  if (connection.state !== "refused") return null;
  if (connection.code === "log_expired")
    return (
      <Empty title="This log is not kept any more">
        <p>{connection.message}</p>
        <p class="soft">What is known of the attempt besides its log is in the details.</p>
      </Empty>
    );
  if (connection.status === 404) return <Missing what="attempt" />;
  const reloads = connection.code === "no_worker";
  return (
    <Empty title="The log cannot be shown">
      <p role="alert">{connection.message}</p>
      <button class="button" onClick={reloads ? () => location.reload() : watched.reopen}>
        {reloads ? "Reload the page" : "Try again"}
      </button>
    </Empty>
  );
}

function NotBuilt({ watched, work }: { watched: Watched; work: Work }) {
  const busy = work.busy.value !== "";
  return (
    <Empty title={`${work.ref} was never built`}>
      <p>
        {watched.attempts.length > 0
          ? "What is published now was not built yet; the attempts in the history were of other content."
          : "A build makes a golden snapshot of it, which computers start from within a moment."}
      </p>
      {may("build") ? (
        <button class="button primary" disabled={busy} onClick={() => void work.build({})}>
          {busy ? "Starting …" : "Build it now"}
        </button>
      ) : (
        <p class="soft">Your key may not build; ask for one with the scope “build”.</p>
      )}
    </Empty>
  );
}
