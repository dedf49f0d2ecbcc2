import { at, useNow } from "./times";
import { isUnderWay } from "./standing";
import type { Watched } from "./watched";

export interface Took {
  /** Milliseconds: in all when it is over, so far while it runs; null where there is nothing to count. */
  ms: number | null;
  /** How long it has waited, while it waits. */
  waited: number | null;
  /** The server's time. */
  now: number;
}

/** How long the attempt took, by the server's clock. */
export function useTook({ log, own, build, end, kind, isCurrent }: Watched): Took {
  const now = useNow(isUnderWay(kind)) + log.clock.value;
  if (end !== null) return { ms: end.duration_ms, waited: null, now };
  const known = own ?? (isCurrent ? build : undefined);
  if (!isUnderWay(kind)) return { ms: known?.build_time_ms ?? null, waited: null, now };
  const began = at(known?.started_at);
  const queued = at(known?.queued_at);
  if (kind === "running") return { ms: began === null ? null : Math.max(0, now - began), waited: null, now };
  return { ms: null, waited: queued === null ? null : now - queued, now };
}
