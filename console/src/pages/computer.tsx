import { lazy, Suspense } from "preact/compat";
import { Link, useLocation, useParams, useSearchParams } from "wouter-preact";
import { ApiError, request } from "../api/client";
import type { Computer as Shown } from "../api/types";
import { computerPath } from "../computers/changes";
import { useDeeds } from "../computers/deeds";
import { Details } from "../computers/details";
import { Logs } from "../computers/logs";
import { Tabs } from "../computers/tabs";
import { may } from "../session";
import { ComputerBadge, isChanging } from "../ui/badges";
import { Note } from "../ui/form";
import { usePoll } from "../ui/poll";
import { Empty, Failed, Loading, Missing } from "../ui/states";
import { useTitle } from "../ui/title";
import "../computers/computer.css";

const Screen = lazy(() => import("../computers/screen"));
const Terminal = lazy(() => import("../computers/terminal"));

const TABS = ["screen", "terminal", "logs", "details"] as const;
type Tab = (typeof TABS)[number];

/** One computer: its screen, a terminal in it, its services' logs, and what it is. */
export default function Computer() {
  const { id = "" } = useParams<{ id: string }>();
  const { value, error, reload } = usePoll(
    (signal) => request<Shown>("GET", computerPath(id), { signal }),
    (answer) => (isChanging(answer.status) ? 700 : 4000),
    [id],
  );
  useTitle(value?.name ?? "Computer");
  if (error instanceof ApiError && error.status === 404) return <Gone wasThere={value !== undefined} />;
  if (!value) return error ? <Failed error={error} retry={reload} /> : <Loading what="the computer" />;
  return (
    <div class="page computer">
      <Head computer={value} reload={reload} />
      {error !== null && (
        <Note kind="warn">
          <p>What stands here may be old: {error instanceof Error ? error.message : String(error)}</p>
        </Note>
      )}
      {value.error && (
        <Note kind={value.status === "error" ? "bad" : "warn"}>
          <p>{value.error}</p>
        </Note>
      )}
      {value.test_run && (
        <Note>
          <p>A test run: it is deleted after 15 idle minutes, and with its server. A clone of it lasts.</p>
        </Note>
      )}
      <Inside computer={value} />
    </div>
  );
}

function Head({ computer, reload }: { computer: Shown; reload: () => void }) {
  const [, navigate] = useLocation();
  const { choices, dialog } = useDeeds(computer, {
    onChanged: reload,
    onCloned: (made) => navigate(`/computers/${made.id}`),
    onDeleted: () => navigate("/computers"),
  });
  return (
    <header class="page-head">
      <div class="row">
        <h1>{computer.name}</h1>
        <span role="status">
          <ComputerBadge status={computer.status} />
        </span>
      </div>
      {may("launch") && (
        <div class="row">
          {choices
            .filter((choice) => !choice.barred)
            .map((choice) => (
              <button key={choice.label} class={choice.danger ? "button danger" : "button"} onClick={choice.act}>
                {choice.label}
              </button>
            ))}
        </div>
      )}
      {dialog}
    </header>
  );
}

function Inside({ computer }: { computer: Shown }) {
  const [query, setQuery] = useSearchParams();
  const first: Tab = computer.vnc_password === null ? "terminal" : "screen";
  const tab = TABS.find((known) => known === query.get("tab")) ?? first;
  const isUp = computer.status === "running";
  return (
    <Tabs
      label="Parts of the computer"
      tabs={TABS}
      chosen={tab}
      choose={(next) => setQuery({ tab: next }, { replace: true })}
    >
      <Suspense fallback={<Loading what={`the ${tab}`} />}>
        {tab === "details" ? (
          <Details computer={computer} />
        ) : tab === "screen" && computer.vnc_password === null ? (
          <NoScreen toTerminal={() => setQuery({ tab: "terminal" }, { replace: true })} />
        ) : !isUp ? (
          <Off computer={computer} />
        ) : tab === "logs" ? (
          <Logs computer={computer} />
        ) : !may("launch") ? (
          <Empty title="This key may not use computers">
            <p>Screen and terminal need the scope launch.</p>
          </Empty>
        ) : tab === "screen" ? (
          <Screen key={computer.id} computer={computer} />
        ) : (
          <Terminal key={computer.id} computer={computer} />
        )}
      </Suspense>
    </Tabs>
  );
}

function NoScreen({ toTerminal }: { toTerminal: () => void }) {
  return (
    <Empty title="This computer has no screen">
      <p>It is a container; computers that are virtual machines have one. Its terminal does the same work.</p>
      <button class="button primary" onClick={toTerminal}>
        Open the terminal
      </button>
    </Empty>
  );
}

function Off({ computer }: { computer: Shown }) {
  const isMoving = isChanging(computer.status);
  return (
    <Empty title={isMoving ? `It is ${computer.status} …` : "It is off"}>
      <p>
        {isMoving ? "This page goes on by itself when it is done." : "Start it to see and use it. Its files are kept."}
      </p>
    </Empty>
  );
}

function Gone({ wasThere }: { wasThere: boolean }) {
  if (!wasThere) return <Missing what="computer" />;
  return (
    <Empty title="The computer was deleted">
      <p>
        <Link href="/computers">Go to the computers</Link>
      </p>
    </Empty>
  );
}
