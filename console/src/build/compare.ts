/** An attempt beside those before it, in words: pure. */

import type { Attempt } from "./api";
import { durationOf } from "../ui/duration.ts";

/** `12 s faster than attempt 3`; null where there is nothing to compare with. A reuse took no time, so it says nothing. */
export function comparison(attempts: readonly Attempt[], number: number, took: number): string | null {
  const before = attempts.find(
    (other) => other.attempt < number && other.result === "ready" && !other.reused && other.build_time_ms !== null,
  );
  if (before === undefined || before.build_time_ms === null) return null;
  const difference = took - before.build_time_ms;
  if (Math.abs(difference) < 500) return `as long as attempt ${before.attempt}`;
  return `${durationOf(Math.abs(difference))} ${difference < 0 ? "faster" : "slower"} than attempt ${before.attempt}`;
}

/** `8 of 10 steps were cached`; null where there are no steps. */
export function cachedSteps(attempt: Pick<Attempt, "steps_total" | "steps_cached">): string | null {
  const { steps_total: total, steps_cached: cached } = attempt;
  if (total === 0) return null;
  if (cached > 0 && cached < total) return `${cached} of ${total} steps were cached`;
  const all = total === 1 ? "its step" : total === 2 ? "both steps" : `all ${total} steps`;
  if (cached === 0) return `${all} ran`;
  return `${all} ${total === 1 ? "was" : "were"} cached`;
}
