import { PageLog } from "./page-log";
import type { Log } from "./types";

export type * from "./types";
export { failingLine } from "./failing.ts";
export { LogView } from "./view/log-view";

/** Follows an attempt's log (the current one's when none is given) until it is closed. */
export function openLog(options: { ref: string; attempt?: number }): Log {
  return new PageLog(options.ref, options.attempt ?? null);
}
