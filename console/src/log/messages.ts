/** What the page and its worker tell each other. */

import type { Connection, End, Section } from "./types.ts";
import type { Tab } from "./worker/places.ts";

export type ToWorker =
  | { kind: "open"; url: string; attempt: number | null; tab: Tab }
  | { kind: "seen"; shown: boolean; at: number } // one went into the page, or left it
  | { kind: "freeze" } // the page does nothing any more until it is seen again
  | { kind: "shown" } // the page has put the last update on the screen: the next one may come
  | { kind: "rows"; lines: Uint32Array }
  | { kind: "search"; id: number; text: string; regex: boolean }
  | { kind: "places"; id: number; lines: Uint32Array }
  | { kind: "text"; id: number; first: number; last: number }
  | { kind: "wake" } // the network is back, the page is seen again, or somebody does not want to wait
  | { kind: "close" };

/** Lines from the search with `id`; `done`: all lines that are here were looked at. */
export interface Found {
  id: number;
  lines: Uint32Array;
  done: boolean;
  problem: string;
}

/** What is new. `began`: everything before is to be forgotten. */
export interface Update {
  kind: "update";
  began: boolean;
  lines: number;
  /** The first line's time, ms since the epoch; 0 while there is none. */
  epoch: number;
  attempt: number | null;
  connection: Connection;
  clock: number;
  end: End | null;
  sections: { from: number; items: Section[] };
  /** Lines that are errors, and lines that are warnings or errors. */
  errors: Uint32Array;
  flagged: Uint32Array;
  found: Found | null;
}

/** Level: 0 info, 1 success, 2 warn, 3 error. Texts have their colour codes. */
export interface Rows {
  kind: "rows";
  lines: Uint32Array;
  texts: string[];
  times: Float64Array;
  levels: Uint8Array;
}

/** Where the expression that the search with `id` is for is in lines: from, to, from, to … Nothing where it was stopped. */
export interface Places {
  kind: "places";
  id: number;
  lines: Uint32Array;
  places: Uint32Array[];
}

/** null: too much for one piece of text. */
export interface TextOf {
  kind: "text";
  id: number;
  text: string | null;
}

export type FromWorker = Update | Rows | Places | TextOf;
