import { useEffect, useState } from "preact/hooks";
import { useLocation, useParams, useSearchParams } from "wouter-preact";
import { ApiError } from "../api/client";
import { LogView } from "../log";
import { Failed, Missing } from "../ui/states";
import { BuildActions } from "./actions";
import type { BuildFlags } from "./api";
import { ConnectionState } from "./connection";
import { useFace } from "./face";
import { attemptPath, BuildHead } from "./head";
import { BuildDialog, CancelDialog } from "./build-dialog";
import { BuildNotices } from "./notices";
import { NoLog } from "./no-log";
import { Phases } from "./phase-strip";
import { Side } from "./side";
import { isUnderWay, standing } from "./standing";
import { useTook } from "./took";
import { useWatched } from "./watched";
import { useWork } from "./work";
import "./page.css";

const WIDE = "(min-width: 1100px)";

export default function Build() {
  const { namespace = "", name = "", version = "" } = useParams();
  const [query] = useSearchParams();
  const attempt = Number(query.get("attempt"));
  const buildRef = `${namespace}/${name}@${version}`;
  return <BuildPage key={buildRef} buildRef={buildRef} wanted={attempt > 0 ? attempt : null} />;
}

/** One build: its head, its phases, what there is to say and to do, and its log, which gets the rest of the page. */
function BuildPage({ buildRef, wanted }: { buildRef: string; wanted: number | null }) {
  const [, go] = useLocation();
  const watched = useWatched(buildRef, wanted);
  const [asks, setAsks] = useState<"" | "cancel" | "rebuild">("");
  const [isSideOpen, setSideOpen] = useState(() => matchMedia(WIDE).matches);
  useEffect(() => {
    const wide = matchMedia(WIDE); // the side lies over the log where it is not
    const fit = () => setSideOpen(wide.matches);
    wide.addEventListener("change", fit);
    return () => wide.removeEventListener("change", fit);
  }, []);
  const work = useWork(buildRef, {
    changed: watched.refresh,
    began: () => {
      go(attemptPath(buildRef, null));
      watched.reopen();
    },
    launched: (computer) => go(`/computers/${computer}`),
  });
  const { log, build, number, kind } = watched;
  const stands = standing(work.busy.value === "cancelling" && isUnderWay(kind) ? "cancelling" : kind);
  const took = useTook(watched);
  useFace(buildRef, stands);
  const runs = build?.status === "building";
  const isOver = !isUnderWay(kind) && !runs;
  useEffect(() => {
    if (isOver) work.settle();
  }, [isOver]);

  if (build === undefined && watched.error instanceof ApiError && watched.error.status === 404)
    return <Missing what="template version" />;
  const showsLog = watched.connection === "live" || log.lines.value > 0;
  if (build === undefined && watched.error !== null && !showsLog)
    return <Failed error={watched.error} retry={watched.refresh} />;

  const rebuild = (flags: BuildFlags) => {
    setAsks("");
    void work.build(flags, runs);
  };
  const hasLog = kind !== "not_built" && watched.refused === null;
  return (
    <div class={`build ${isSideOpen ? "side-open" : ""}`}>
      <header class="build-head">
        <BuildHead
          {...{ buildRef, number, attempts: watched.attempts, stands, took: took.ms, isOver: !isUnderWay(kind) }}
        />
        <BuildActions
          {...{ watched, work, isSideOpen }}
          onCancel={() => setAsks("cancel")}
          onRebuild={() => setAsks("rebuild")}
          onSide={() => setSideOpen(!isSideOpen)}
        />
      </header>
      <div class="build-strip">
        <Phases {...{ log, kind, own: watched.detail, now: took.now }} />
        {hasLog && <ConnectionState log={log} />}
      </div>
      <BuildNotices {...{ watched, work, took }} />
      <div class="build-body">
        <div class="build-log">{hasLog ? <LogView log={log} /> : <NoLog {...{ watched, work }} />}</div>
        {isSideOpen && <Side {...{ watched, buildRef }} />}
      </div>
      {asks === "cancel" && (
        <CancelDialog
          name={buildRef}
          waits={kind !== "running"}
          onClose={() => setAsks("")}
          onCancel={() => {
            setAsks("");
            void work.cancel();
          }}
        />
      )}
      {asks === "rebuild" && (
        <BuildDialog
          again
          running={runs ? (build?.attempt ?? null) : null}
          onBuild={rebuild}
          onClose={() => setAsks("")}
        />
      )}
    </div>
  );
}
