import { useEffect, useRef, useState } from "preact/hooks";
import { answer, request, type Schemas } from "../api/client";
import type { Computer } from "../api/types";
import { usePoll } from "../ui/poll";
import { Empty, Failed, Loading } from "../ui/states";
import { computerPath } from "./changes";

type Service = Schemas["Service"];

/** The services of a computer and what they print. */
export function Logs({ computer }: { computer: Computer }) {
  const path = computerPath(computer.id);
  const { value, error, reload } = usePoll(
    (signal) => request<{ services: Service[] }>("GET", `${path}/services`, { signal }),
    5000,
    [computer.id],
  );
  const [chosen, setChosen] = useState<string | null>(null);
  if (!value) return error ? <Failed error={error} retry={reload} /> : <Loading what="the services" />;
  if (value.services.length === 0) {
    return (
      <Empty title="No services">
        <p>The template declares none. Services are listed here with what they print.</p>
      </Empty>
    );
  }
  const name = chosen ?? value.services[0]?.name ?? "";
  return (
    <div class="services">
      <ul class="service-list" aria-label="Services">
        {value.services.map((service) => (
          <li key={service.name}>
            <button aria-pressed={service.name === name} onClick={() => setChosen(service.name)}>
              <strong>{service.name}</strong>
              <span class={`badge ${kindOf(service.state)}`}>{service.state}</span>
              <span class="soft">
                {[service.app, service.pid && `pid ${service.pid}`, service.detail].filter(Boolean).join(" · ")}
              </span>
            </button>
          </li>
        ))}
      </ul>
      <ServiceLog key={name} path={`${path}/logs/${encodeURIComponent(name)}`} name={name} />
    </div>
  );
}

/** By supervisord's words. */
function kindOf(state: Service["state"]): string {
  if (state === "running") return "ok";
  if (["starting", "stopping"].includes(state)) return "busy";
  return ["backoff", "fatal", "unknown"].includes(state) ? "bad" : "";
}

function ServiceLog({ path, name }: { path: string; name: string }) {
  const [follows, setFollows] = useState(true);
  const { value, error, reload } = usePoll(
    async (signal) => (await answer("GET", path, { query: { tail: 1000 }, signal })).text(),
    follows ? 2000 : null,
    [path, follows],
  );
  const place = useRef<HTMLPreElement>(null);
  const isAtEnd = useRef(true);
  useEffect(() => {
    if (isAtEnd.current) place.current?.scrollTo(0, place.current.scrollHeight);
  }, [value]);
  return (
    <div class="stack service-log">
      <div class="row">
        <label class="check">
          <input type="checkbox" checked={follows} onChange={(event) => setFollows(event.currentTarget.checked)} />
          Follow
        </label>
        <button class="button" onClick={reload}>
          Read again
        </button>
        <span class="soft">The last 1000 lines</span>
      </div>
      {value === undefined && error ? (
        <Failed error={error} retry={reload} />
      ) : (
        <pre
          ref={place}
          role="log"
          aria-live="off"
          aria-label={`Log of ${name}`}
          tabIndex={0}
          onScroll={({ currentTarget: log }) => {
            isAtEnd.current = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
          }}
        >
          {value === "" ? "It has printed nothing yet." : plain(value ?? "")}
        </pre>
      )}
    </div>
  );
}

/** Without the colours and cursor moves that programs print for terminals. */
function plain(text: string): string {
  return text.replace(/\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[@-_]|\r(?=\n)/g, "");
}
