import { may } from "../session";
import { failingLine, type Log } from "../log";
import type { Failure } from "./api";
import { FailureNotice } from "./ending";
import { attemptPath } from "./head";
import { HeldNotice } from "./held";
import { Notice, Trouble } from "./notice";
import { ReadyNotice } from "./ready";
import type { Took } from "./took";
import { useOf, type Watched } from "./watched";
import type { Work } from "./work";
import { WaitingNotice } from "./waiting";
import { Link } from "wouter-preact";

/** What is to be said about the attempt: that it waits, how it ended, what is kept of it. */
export function BuildNotices({ watched, work, took }: { watched: Watched; work: Work; took: Took }) {
  const { kind, build, number, own } = watched;
  const problem = work.problem.value;
  return (
    <div class="build-notices">
      {problem !== null && <Trouble error={problem} onDismiss={() => (work.problem.value = null)} />}
      <OtherAttempt watched={watched} buildRef={work.ref} />
      {(kind === "queued" || kind === "joined") && (
        <WaitingNotice
          own={work.ref}
          place={own?.queue_position ?? build?.queue_position ?? null}
          joined={own?.state === "joined"}
          waited={took.waited}
        />
      )}
      {kind === "ready" && number !== null && (
        <ReadyNotice
          {...{ number, took: took.ms, attempts: watched.attempts, onLaunch: () => void work.launch() }}
          isLaunched={build?.status === "ready" && own?.golden_dir === build.golden_dir}
          busy={work.busy.value === "launching"}
        />
      )}
      <Ending {...{ watched, work, took }} />
    </div>
  );
}

function Ending({ watched, work, took }: { watched: Watched; work: Work; took: Took }) {
  const { log, number, own, detail, end, build, isCurrent } = watched;
  const line = useOf(log, lineOfFailure);
  const failure = failureOf(watched);
  if (failure === null || number === null || (end === null && own?.finished_at === null)) return null;
  return (
    <>
      <FailureNotice
        {...{ buildRef: work.ref, attempt: number, failure, took: took.ms, line }}
        goldenStays={build?.status === "ready"}
        canBuild={work.busy.value === "" && build?.status !== "building"}
        onReveal={(found) => log.reveal(found)}
        onBuild={(flags) => void work.build(flags)}
      />
      {isCurrent && (detail?.flags.keep_on_failure ?? 0) > 0 && may("build") && (
        <HeldNotice buildRef={work.ref} attempt={number} clock={log.clock.value} />
      )}
    </>
  );
}

/** Another attempt than this one is the current one. */
function OtherAttempt({ watched, buildRef }: { watched: Watched; buildRef: string }) {
  const { build, number, isCurrent, reopen } = watched;
  if (isCurrent || number === null || !build || build.attempt === 0 || build.attempt < number) return null;
  const runs = build.status === "building";
  return (
    <Notice tone={runs ? "busy" : ""} role="status">
      This is attempt {number}. {runs ? `Attempt ${build.attempt} is under way: ` : `The latest is ${build.attempt}: `}
      <Link href={attemptPath(buildRef, null)} onClick={reopen}>
        {runs ? "watch it" : "show it"}
      </Link>
    </Notice>
  );
}

/** The API's failure has the last lines; the log's end is there a moment earlier. */
function failureOf({ own, end, build, isCurrent, number }: Watched): Failure | null {
  const told = own?.failure ?? (isCurrent && build?.attempt === number ? build.failure : null);
  if (told) return told;
  if (!end?.error) return null;
  const { code, step, exit_code, message } = end.error;
  return { code: code as Failure["code"], step, exit_code: exit_code ?? null, message, last_lines: [] };
}

function lineOfFailure(log: Log): number {
  return log.end.value === null ? -1 : failingLine(log.sections.value, log.lines.value);
}
