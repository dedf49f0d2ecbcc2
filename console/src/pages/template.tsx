import { lazy, Suspense } from "preact/compat";
import { useState } from "preact/hooks";
import { Link, useLocation, useParams, useSearchParams } from "wouter-preact";
import { ApiError, refPath, request, templatePath } from "../api/client";
import { startBuild, type BuildFlags } from "../build/api";
import { BuildDialog } from "../build/build-dialog";
import { CURATED, partsOf, type Build, type Item } from "../api/types";
import { LaunchDialog } from "../computers/launch";
import { PlanOf } from "../editor/plan";
import { writeYaml } from "../editor/yaml";
import { may } from "../session";
import { useAction } from "../ui/action";
import { BuildBadge } from "../ui/badges";
import { Copy } from "../ui/copy";
import { Confirm } from "../ui/dialog";
import { durationOf } from "../ui/duration";
import { Note } from "../ui/form";
import { Menu } from "../ui/menu";
import { usePoll } from "../ui/poll";
import { Failed, Loading, Missing } from "../ui/states";
import { Ago } from "../ui/time";
import { useTitle } from "../ui/title";
import { toast } from "../ui/toast";
import "./templates.css";

const Code = lazy(() => import("../editor/code"));

/** One template: its versions, and of one of them the document, the plan and what can be done with it. */
export default function Template() {
  const { namespace = "", name = "" } = useParams<{ namespace: string; name: string }>();
  const [query] = useSearchParams();
  const path = [namespace, name].map(encodeURIComponent).join("/");
  useTitle(`${namespace}/${name}`);
  const { value, error, reload } = usePoll(
    (signal) => request<{ versions: Item[] }>("GET", `/api/templates/${path}`, { signal }),
    30_000,
    [path],
  );
  if (!value) {
    if (error instanceof ApiError && error.status === 404) return <Missing what="template" />;
    return error ? <Failed error={error} retry={reload} /> : <Loading what="the template" />;
  }
  const wanted = query.get("version");
  const chosen =
    wanted === null ? value.versions[0] : value.versions.find((item) => partsOf(item.ref).version === wanted);
  return (
    <div class="page">
      <header class="page-head">
        <h1>
          {namespace}/{name}
        </h1>
        {namespace === CURATED && <span class="badge">comes with Ingot</span>}
      </header>
      <div class="template-side">
        <Versions versions={value.versions} chosen={chosen} />
        {chosen ? (
          <Version key={chosen.ref + chosen.digest} item={chosen} onGone={reload} />
        ) : (
          <Missing what="version" />
        )}
      </div>
    </div>
  );
}

function Versions({ versions, chosen }: { versions: Item[]; chosen: Item | undefined }) {
  return (
    <nav aria-label="Versions">
      <ul class="version-list">
        {versions.map((item) => {
          const { namespace, name, version } = partsOf(item.ref);
          return (
            <li key={item.ref}>
              <Link
                href={`/templates/${namespace}/${name}?version=${encodeURIComponent(version)}`}
                aria-current={item === chosen ? "true" : undefined}
              >
                <strong>{version}</strong>
                <span class="soft">
                  <Ago at={item.published} />
                </span>
              </Link>
            </li>
          );
        })}
      </ul>
    </nav>
  );
}

function Version({ item, onGone }: { item: Item; onGone: () => void }) {
  const { value: build } = usePoll(
    (signal) => request<Build>("GET", `${templatePath(item.ref)}/build`, { signal }),
    (answer) => (answer.status === "building" ? 2000 : 15_000),
    [item.ref],
  );
  const document = writeYaml(item.template);
  return (
    <div class="template-main">
      <Deeds item={item} build={build} onGone={onGone} />
      <section class="card stack" aria-label="Facts">
        <dl class="facts">
          <dt>Build</dt>
          <dd>{build ? <BuildFacts build={build} /> : "…"}</dd>
          <dt>Published</dt>
          <dd>
            <Ago at={item.published} />
          </dd>
          <dt>Digest</dt>
          <dd>
            <code>{item.digest}</code>
          </dd>
        </dl>
        {build?.failure && (
          <Note kind="bad">
            <p>{build.failure.message}</p>
          </Note>
        )}
      </section>
      <section class="stack" aria-labelledby="document-head">
        <div class="page-head">
          <h2 id="document-head">Document</h2>
          <Copy text={document} what="the document" />
        </div>
        <Suspense fallback={<Loading what="the document" />}>
          <Code value={document} label="The template's document" readOnly />
        </Suspense>
      </section>
      <section class="stack" aria-labelledby="plan-head">
        <h2 id="plan-head">What a build would do now</h2>
        <PlanOf document={JSON.stringify(item.template)} about={build?.status} />
      </section>
    </div>
  );
}

function BuildFacts({ build }: { build: Build }) {
  const took = build.build_time_ms === null ? "" : ` in ${durationOf(build.build_time_ms)}`;
  return (
    <span class="row">
      <BuildBadge build={build} />
      {build.attempt > 0 && (
        <Link href={`/builds/${refPath(build.ref)}`}>
          attempt {build.attempt}
          {took}
        </Link>
      )}
      {build.finished_at && (
        <span class="soft">
          <Ago at={build.finished_at} />
        </span>
      )}
    </span>
  );
}

function Deeds({ item, build, onGone }: { item: Item; build: Build | undefined; onGone: () => void }) {
  const [asked, setAsked] = useState<"build" | "launch" | "delete" | null>(null);
  const [, navigate] = useLocation();
  const { namespace, version } = partsOf(item.ref);
  const close = () => setAsked(null);
  const starting = useAction();
  async function start(flags: BuildFlags) {
    if (await starting.run(() => startBuild(item.ref, flags))) navigate(`/builds/${refPath(item.ref)}`);
  }
  return (
    <div class="row">
      {build?.status === "building" && (
        <Link class="button primary" href={`/builds/${refPath(item.ref)}`}>
          Watch the build
        </Link>
      )}
      {may("build") && build && build.status !== "building" && (
        <button class={build.status === "ready" ? "button" : "button primary"} onClick={() => setAsked("build")}>
          {build.attempt > 0 ? "Build again" : "Build"}
        </button>
      )}
      {may("launch") && build?.golden_dir && (
        <button class="button primary" onClick={() => setAsked("launch")}>
          Launch
        </button>
      )}
      {may("publish") && (
        <Link class="button" href={`/templates/${refPath(item.ref)}/edit`}>
          Edit as a new version
        </Link>
      )}
      {may("publish") && namespace !== CURATED && (
        <Menu
          label="More"
          choices={[
            {
              label: "Delete",
              danger: true,
              barred: build?.status === "building" && "It is being built: cancel the build first.",
              act: () => setAsked("delete"),
            },
          ]}
        />
      )}
      {asked === "build" && build && (
        <BuildDialog
          again={build.attempt > 0}
          running={null}
          action={starting}
          onBuild={(flags) => void start(flags)}
          onClose={close}
        />
      )}
      {asked === "launch" && <LaunchDialog template={item.ref} onClose={close} />}
      {asked === "delete" && (
        <Confirm
          title={`Delete ${item.ref}?`}
          verb="Delete"
          act={() => request("DELETE", templatePath(item.ref))}
          onDone={() => {
            toast(`${version} is deleted`);
            navigate("/templates");
            onGone();
          }}
          onClose={close}
        >
          <p>
            The version and its document go. Computers made from it stay. The same name and version can be published
            again.
          </p>
        </Confirm>
      )}
    </div>
  );
}
