import { Link, useSearchParams } from "wouter-preact";
import { request } from "../api/client";
import { CURATED, partsOf, type Item } from "../api/types";
import { may } from "../session";
import { BuildBadge } from "../ui/badges";
import { usePoll } from "../ui/poll";
import { Empty, Failed, Loading } from "../ui/states";
import { Ago } from "../ui/time";
import { useTitle } from "../ui/title";
import "./templates.css";

interface Group {
  path: string; // namespace/name
  isCurated: boolean;
  description: string;
  versions: Item[]; // newest published first
}

/** Every template of the account and those that come with the server. */
export default function Templates() {
  useTitle("Templates");
  const [query, setQuery] = useSearchParams();
  const wanted = query.get("q") ?? "";
  const { value, error, reload } = usePoll(
    (signal) => request<{ templates: Item[] }>("GET", "/api/templates", { query: { builds: true }, signal }),
    (answer) => (answer.templates.some((item) => item.build?.status === "building") ? 3000 : 15_000),
  );
  const groups = value && groupsOf(value.templates);
  const shown = groups?.filter((group) => matches(group, wanted));
  return (
    <div class="page">
      <header class="page-head">
        <h1>Templates</h1>
        <div class="row">
          <input
            type="search"
            class="filter"
            aria-label="Filter templates"
            placeholder="Filter"
            value={wanted}
            onInput={(event) =>
              setQuery(event.currentTarget.value ? { q: event.currentTarget.value } : {}, { replace: true })
            }
          />
          {may("publish") && (
            <Link class="button primary" href="/templates/new">
              New template
            </Link>
          )}
        </div>
      </header>
      {!shown ? (
        error ? (
          <Failed error={error} retry={reload} />
        ) : (
          <Loading what="the templates" />
        )
      ) : shown.length === 0 ? (
        <NothingHere wanted={wanted} />
      ) : (
        <ul class="templates">
          {shown.map((group) => (
            <GroupCard key={group.path} group={group} />
          ))}
        </ul>
      )}
    </div>
  );
}

function GroupCard({ group }: { group: Group }) {
  const last = lastBuild(group.versions);
  return (
    <li class="card template-card">
      <div>
        <h2 class="row">
          <Link href={`/templates/${group.path}`}>{group.path}</Link>
          {group.isCurated && <span class="badge">comes with Ingot</span>}
        </h2>
        <span class="soft">{group.description}</span>
      </div>
      <ul class="template-versions" aria-label={`Versions of ${group.path}`}>
        {group.versions.slice(0, 6).map((item) => (
          <li key={item.ref}>
            <Link href={`/templates/${group.path}?version=${encodeURIComponent(partsOf(item.ref).version)}`}>
              {partsOf(item.ref).version}
            </Link>
            {item.build && <BuildBadge build={item.build} />}
          </li>
        ))}
        {group.versions.length > 6 && <li class="soft">and {group.versions.length - 6} more</li>}
      </ul>
      <span class="soft template-last">{last ? <Ago at={last} /> : "never built"}</span>
    </li>
  );
}

function NothingHere({ wanted }: { wanted: string }) {
  if (wanted) {
    return (
      <Empty title="Nothing matches">
        <p>
          No template has “{wanted}” in its name, description or versions. <Link href="/templates">Show all</Link>
        </p>
      </Empty>
    );
  }
  return (
    <Empty title="No templates yet">
      <p>A template is one document that describes a machine. A build bakes it into a golden snapshot.</p>
      <p>
        <Link class="button primary" href="/templates/new">
          Write the first one
        </Link>
      </p>
    </Empty>
  );
}

function groupsOf(items: readonly Item[]): Group[] {
  const found = Map.groupBy(items, (item) => item.ref.slice(0, item.ref.lastIndexOf("@")));
  const groups = [...found].map(([path, versions]) => {
    versions.sort((one, other) => other.published.localeCompare(one.published) || other.ref.localeCompare(one.ref));
    return { path, versions, isCurated: path.startsWith(`${CURATED}/`), description: descriptionOf(versions[0]) };
  });
  return groups.sort(
    (one, other) => Number(one.isCurated) - Number(other.isCurated) || one.path.localeCompare(other.path),
  );
}

function descriptionOf(item: Item | undefined): string {
  const { description } = (item?.template["template"] ?? {}) as { description?: string };
  return description ?? "";
}

function lastBuild(versions: readonly Item[]): string | undefined {
  const times = versions.map(({ build }) => build?.finished_at ?? build?.started_at ?? build?.queued_at ?? "");
  return times.sort().at(-1) || undefined;
}

function matches(group: Group, wanted: string): boolean {
  const text = [group.path, group.description, ...group.versions.map((item) => item.ref)].join("\n").toLowerCase();
  return wanted
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}
