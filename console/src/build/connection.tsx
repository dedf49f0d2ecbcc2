import type { Log } from "../log";
import { ticking } from "../ui/duration";
import { useNow } from "./times";
import "./connection.css";

const PARKED = "Other tabs have the connections that a browser opens to a server. Go into this one, and it is live.";

/** Where the stream is, as it is. */
export function ConnectionState({ log }: { log: Log }) {
  const now = log.connection.value;
  switch (now.state) {
    case "connecting":
      return <Told tone="" text="Connecting …" />;
    case "live":
      if (!now.resumed) return <Told tone="ok" text="Live" hint="Every line arrives as it is printed." />;
      return <Told tone="ok" text="Live, nothing lost" hint="The connection was away and went on where it stopped." />;
    case "parked":
      return <Told tone="" text={`Looks every ${ticking(now.every)}`} hint={PARKED} />;
    case "ended":
      return <Told tone="" text="Complete" hint="The build is over and its whole log is here." />;
    case "waiting":
      return <Away until={now.until} why={now.why} onRetry={() => log.retry()} />;
    case "refused":
      return <Told tone="bad" text="Refused" hint={now.message} />;
  }
}

function Away({ until, why, onRetry }: { until: number; why: string; onRetry: () => void }) {
  const left = Math.max(0, until - useNow());
  return (
    <span class="connection">
      <Told tone="warn" text={left < 1000 ? "Reconnecting …" : `Reconnecting in ${ticking(left + 999)}`} hint={why} />
      <button class="button quiet" onClick={onRetry}>
        Try now
      </button>
    </span>
  );
}

function Told({ tone, text, hint }: { tone: "" | "ok" | "warn" | "bad"; text: string; hint?: string }) {
  return (
    <span class={`badge ${tone} connection-told`} title={hint}>
      <span class="connection-dot" aria-hidden="true" /> {text}
    </span>
  );
}
