/** The strip of phases, made of a log's sections; where the log is gone, of what the manifest remembers. Pure. */

import type { Phase, Section } from "../log";
import type { Kind } from "./standing";

export const STRIP = ["publish", "compile", "boot", "install", "snapshot", "record", "archive", "ready"] as const;

export const SAYS: Record<(typeof STRIP)[number], string> = {
  publish: "accepted and waiting for its turn",
  compile: "the plan: what is reused, what runs",
  boot: "the build machine starts",
  install: "packages, files, commands and apps",
  snapshot: "services become healthy; the machine is captured",
  record: "the manifest is written",
  archive: "layers go to the object store",
  ready: "the golden snapshot can be launched",
};

export interface PhasePart {
  phase: (typeof STRIP)[number];
  state: "ahead" | "running" | "done" | "failed" | "stopped";
  /** Server times in milliseconds; `ended` null while it runs, both null where nothing is known. */
  began: number | null;
  ended: number | null;
  /** Where it begins in the log, -1 where it does not. */
  line: number;
}

/** `ended`: the server's time of the attempt's end, null while it runs. */
export function strip(sections: readonly Section[], kind: Kind, ended: number | null): PhasePart[] {
  const begun = STRIP.map((phase) => beginOf(sections, phase));
  const reached = begun.findLastIndex((begin) => begin !== null);
  return STRIP.map((phase, place) => {
    const begin = begun[place] ?? null;
    if (begin === null) return { phase, state: "ahead", began: null, ended: null, line: -1 };
    const next = begun.slice(place + 1).find((later) => later !== null);
    const over = next?.began ?? ended;
    const state = place < reached ? "done" : stateOfLast(kind);
    return { phase, state, began: begin.began, ended: over, line: begin.line };
  });
}

/** For a log that is gone. `timings` are milliseconds by phase. */
export function stripOf(timings: Record<string, number>, reached: Phase | null, kind: Kind): PhasePart[] {
  const last = kind === "ready" ? STRIP.length - 1 : STRIP.findIndex((phase) => phase === reached);
  return STRIP.map((phase, place) => {
    const state = place < last ? "done" : place === last ? stateOfLast(kind) : "ahead";
    const ms = timings[phase];
    return { phase, state, began: ms === undefined ? null : 0, ended: ms ?? null, line: -1 };
  });
}

function beginOf(sections: readonly Section[], phase: Phase): { began: number; line: number } | null {
  const own = sections.filter((section) => section.phase === phase);
  const [first] = own;
  if (first === undefined) return null;
  return { began: first.began, line: own.find((section) => section.first >= 0)?.first ?? -1 };
}

function stateOfLast(kind: Kind): PhasePart["state"] {
  if (kind === "ready") return "done";
  if (kind === "failed" || kind === "timed_out") return "failed";
  return kind === "cancelled" ? "stopped" : "running";
}
