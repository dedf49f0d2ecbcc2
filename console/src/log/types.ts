/** What a log tells the page around it. The worker behind it reads the stream, keeps every line and searches them. */

import type { ReadonlySignal } from "@preact/signals";

export type Level = "info" | "success" | "warn" | "error";
export type Phase =
  "publish" | "compile" | "boot" | "install" | "snapshot" | "record" | "archive" | "ready" | "cancel" | "timeout";
export type Result = "ready" | "failed" | "cancelled" | "timed_out";
export type Mark = "running" | "done" | "cached" | "failed" | "cancelled" | "timed_out";

/** Where the stream is, as it is: never "live" while nothing is connected. */
export type Connection =
  | { state: "connecting" }
  | { state: "live"; resumed: boolean } // resumed: it was away and came back without loss
  | { state: "parked"; every: number } // other tabs have the connections: it looks so often, in milliseconds
  | { state: "waiting"; until: number; tries: number; why: string } // `until`: when it tries again, Date.now() time
  | { state: "ended" }
  | { state: "refused"; status: number; code: string; message: string };

/** A step, or what a phase prints outside of steps. `first` and `last` are indexes of lines, from 0, both included;
 * -1 where it has none. Times are the server's, in milliseconds. */
export interface Section {
  phase: Phase;
  /** null for what a phase prints outside of steps. */
  step: { index: number; total: number; title: string; reason: string } | null;
  mark: Mark;
  began: number;
  ended: number | null;
  first: number;
  last: number;
  /** The last line that a command printed, and no empty one; -1 where none printed any. */
  output: number;
  warnings: number;
}

export interface End {
  result: Result;
  attempt: number;
  duration_ms: number;
  line: string;
  error: { code: string; step: string | null; exit_code?: number; message: string } | null;
}

/** One attempt's log. `lines` counts those that are here; `clock` is how far the server's clock is ahead of ours (ms). */
export interface Log {
  readonly ref: string;
  readonly attempt: ReadonlySignal<number | null>;
  readonly connection: ReadonlySignal<Connection>;
  readonly sections: ReadonlySignal<readonly Section[]>;
  readonly lines: ReadonlySignal<number>;
  readonly end: ReadonlySignal<End | null>;
  readonly clock: ReadonlySignal<number>;
  /** Shows a line: opens its section and scrolls to it. The next `LogView` that is mounted does it where none is. */
  reveal(line: number): void;
  /** Tries at once where it waits before the next try. */
  retry(): void;
  close(): void;
}
