/** What the server says of a text while it is typed: its problems, its warnings, its canonical form, its plan. */

import { useEffect, useState } from "preact/hooks";
import { ApiError, request } from "../api/client";
import type { Document, PlanStep, Problem } from "../api/types";
import { session } from "../session";
import { wordsOf } from "../ui/action";

const VALIDATE_MS = 120;
const PLAN_MS = 300;
const AGAIN_MS = 3000;
const YAML = "application/yaml";

export type Verdict =
  | { state: "checking" }
  | { state: "valid"; text: string; canonical: Document; warnings: string[] }
  | { state: "invalid"; text: string }
  | { state: "unknown"; why: string };

export interface Checks {
  verdict: Verdict;
  /** The last that were told; they stay while the next ones are on their way, so that nothing flickers. */
  problems: readonly Problem[];
  plan: { steps: PlanStep[]; isCurrent: boolean } | null;
  planError: string;
}

const NOTHING: Checks = { verdict: { state: "checking" }, problems: [], plan: null, planError: "" };

/** Asks a moment after the last keystroke. An answer to an older text is never shown. */
export function useChecks(text: string | null): Checks {
  const [checks, setChecks] = useState<Checks>(NOTHING);
  const signedIn = session.value;
  useEffect(() => {
    if (text === null) return;
    const ended = new AbortController();
    const { signal } = ended;
    const tell = (change: Partial<Checks>) => !signal.aborted && setChecks((old) => ({ ...old, ...change }));
    tell({ verdict: { state: "checking" } });
    void (async () => {
      await pause(VALIDATE_MS, signal);
      while (!signal.aborted) {
        const told = await check(text, signal);
        tell(told);
        if (told.verdict?.state === "valid") await tellPlan(text, signal, tell);
        if (told.verdict?.state !== "unknown") return;
        await pause(AGAIN_MS, signal);
      }
    })().catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
    return () => ended.abort();
  }, [text, signedIn]);
  return checks;
}

async function check(text: string, signal: AbortSignal): Promise<Partial<Checks>> {
  try {
    return { verdict: { state: "valid", text, ...(await validate(text, signal)) }, problems: [] };
  } catch (error) {
    const problems = problemsOf(error);
    if (problems) return { verdict: { state: "invalid", text }, problems, plan: null, planError: "" };
    return { verdict: { state: "unknown", why: wordsOf(error) } };
  }
}

/** The canonical form of a text, and warnings about it. Raises ApiError. */
export async function validate(
  text: string,
  signal?: AbortSignal,
): Promise<{ canonical: Document; warnings: string[] }> {
  const body = { text: { body: text, type: YAML }, ...(signal ? { signal } : {}) };
  const valid = await request<{ template: Document; warnings: string[] }>("POST", "/api/templates/validate", body);
  return { canonical: valid.template, warnings: valid.warnings };
}

async function tellPlan(text: string, signal: AbortSignal, tell: (change: Partial<Checks>) => void): Promise<void> {
  await pause(PLAN_MS, signal);
  try {
    const { steps } = await request<{ steps: PlanStep[] }>("POST", "/api/templates/plan", {
      text: { body: text, type: YAML },
      signal,
    });
    tell({ plan: { steps, isCurrent: true }, planError: "" });
  } catch (error) {
    tell({ plan: null, planError: wordsOf(error) });
  }
}

/** The problems that an answer tells; null where it tells of something else. */
function problemsOf(error: unknown): Problem[] | null {
  if (!(error instanceof ApiError)) return null;
  const { errors } = (error.body ?? {}) as { errors?: Problem[] };
  if (error.status === 422 && errors) return errors;
  if (error.status !== 400 && error.status !== 413) return null;
  const [, line, column] = /line (\d+), column (\d+)/.exec(error.message) ?? [];
  const where = line && column ? { line: Number(line), column: Number(column) } : {};
  return [{ field: "", code: "invalid_format", message: error.message, ...where }];
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((done, fail) => {
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      fail(new DOMException("a newer text came", "AbortError"));
    });
  });
}
