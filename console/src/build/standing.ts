/** How an attempt stands, in one word, a sign and a tone: pure. */

import type { Build } from "../api/types";
import type { End } from "../log";
import type { Attempt } from "./api";

export type Kind =
  | "unknown"
  | "not_built"
  | "queued"
  | "joined"
  | "running"
  | "cancelling"
  | "ready"
  | "failed"
  | "cancelled"
  | "timed_out";

export interface Standing {
  kind: Kind;
  word: string;
  /** Stands before the name in the page's title. */
  sign: string;
  tone: "" | "ok" | "bad" | "warn" | "busy";
}

const STANDINGS: Record<Kind, Omit<Standing, "kind">> = {
  unknown: { word: "…", sign: "", tone: "" },
  not_built: { word: "not built", sign: "○", tone: "" },
  queued: { word: "waiting", sign: "◌", tone: "busy" },
  joined: { word: "waiting", sign: "◌", tone: "busy" },
  running: { word: "building", sign: "●", tone: "busy" },
  cancelling: { word: "cancelling", sign: "●", tone: "warn" },
  ready: { word: "ready", sign: "✓", tone: "ok" },
  failed: { word: "failed", sign: "✗", tone: "bad" },
  cancelled: { word: "cancelled", sign: "⊘", tone: "warn" },
  timed_out: { word: "timed out", sign: "✗", tone: "bad" },
};

export function standing(kind: Kind): Standing {
  return { kind, ...STANDINGS[kind] };
}

export function isUnderWay(kind: Kind): boolean {
  return kind === "queued" || kind === "joined" || kind === "running";
}

export function kindOf(attempt: Pick<Attempt, "state" | "result">): Kind {
  return attempt.result ?? attempt.state;
}

/** The build object knows less than an attempt does: waiting is told by `started_at`. */
export function kindOfBuild(build: Build): Kind {
  if (build.status === "not_built") return "not_built";
  if (build.status === "building") return build.started_at === null ? "queued" : "running";
  return resultOfFailure(build) ?? build.status;
}

/** The log's end is the truth as soon as it is here: every other answer agrees with it from then on. */
export function kindOfAll(attempt: Attempt | undefined, build: Build | undefined, end: End | null): Kind {
  if (end !== null) return end.result;
  if (attempt !== undefined) return kindOf(attempt);
  return build === undefined ? "unknown" : kindOfBuild(build);
}

function resultOfFailure(build: Build): Kind | null {
  const code = build.failure?.code;
  if (code === undefined) return null;
  if (code === "cancelled") return "cancelled";
  return code === "timed_out" || code === "queue_expired" ? "timed_out" : "failed";
}
