import type { Build, Computer } from "../api/types";

type Status = Computer["status"];

const BUILDS: Record<Build["status"], [string, string]> = {
  ready: ["ok", "ready"],
  building: ["busy", "building"],
  failed: ["bad", "failed"],
  not_built: ["", "not built"],
};

/** How a version's build stands; one that waits in the queue says so. */
export function BuildBadge({ build }: { build: Build }) {
  const [kind, words] = BUILDS[build.status];
  const place = build.queue_position;
  return <span class={`badge ${kind}`}>{place === null ? words : `in the queue, place ${place}`}</span>;
}

export function ComputerBadge({ status }: { status: Status }) {
  const kind = { running: "ok", stopped: "", error: "bad" }[status as string] ?? "busy";
  return <span class={`badge ${kind}`}>{kind === "busy" ? `${status} …` : status}</span>;
}

/** Whether it changes by itself, so that one asks again soon. */
export function isChanging(status: Status): boolean {
  return !["running", "stopped", "error"].includes(status);
}
