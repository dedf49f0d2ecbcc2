/** What a row is made of: a line cut where its colours, links, search marks and hidden characters begin and end. Pure.
 * Long lines are cut short: `rest` says how many characters are left out. */

import { readRuns, type Run, type Style } from "./sgr.ts";

export interface Piece {
  text: string;
  style: Style | null;
  /** The address, for a part of a link. */
  link: string | null;
  marked: boolean;
  /** A character that would be hidden, or turn others around; `text` is its name. */
  hidden: boolean;
}

export type Finder = (text: string) => [from: number, to: number][];

const LINK = /https?:\/\/[^\s<>"'`\\\p{Cc}\p{Cf}]+/gu;
const LINK_TAIL = /[.,;:!?)\]}]+$/;
const HIDDEN =
  /[\u061c\u200b\u200e\u200f\u2028\u2029\u202a-\u202e\u2060\u2066-\u2069\ufeff\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g;
export const SHORT = 2000;
const MOST_RUNS = 120;

export function cutLine(line: string, find: Finder | null, whole: boolean): { pieces: Piece[]; rest: number } {
  const runs = readRuns(line);
  const text = runs.length === 1 ? runs[0]!.text : runs.map((run) => run.text).join("");
  const shown = whole ? text.length : shownLength(text, runs);
  const seen = shown < text.length ? text.slice(0, shown) : text;
  const cuts = new Set([0, seen.length]);
  const links = linksIn(seen);
  const marks = find === null ? [] : find(seen);
  const hidden = [...seen.matchAll(HIDDEN)].map(({ index }) => index);
  for (const { from, to } of links) cuts.add(from).add(to);
  for (const [from, to] of marks) cuts.add(from).add(to);
  for (const at of hidden) cuts.add(at).add(at + 1);
  let end = 0;
  for (const run of runs) cuts.add(Math.min((end += run.text.length), seen.length));
  return {
    pieces: piecesOf(
      seen,
      [...cuts].sort((a, b) => a - b),
      runs,
      links,
      marks,
    ),
    rest: text.length - shown,
  };
}

function piecesOf(
  text: string,
  cuts: number[],
  runs: Run[],
  links: { from: number; to: number }[],
  marks: [number, number][],
): Piece[] {
  const pieces: Piece[] = [];
  let run = 0;
  let runEnd = runs[0]?.text.length ?? 0;
  let link = 0;
  let mark = 0;
  for (let place = 0; place + 1 < cuts.length; place++) {
    const from = cuts[place]!;
    const part = text.slice(from, cuts[place + 1]);
    while (from >= runEnd && run + 1 < runs.length) runEnd += runs[++run]!.text.length;
    while (link < links.length && links[link]!.to <= from) link++;
    while (mark < marks.length && marks[mark]![1] <= from) mark++;
    const linked = links[link];
    const isHidden = part.length === 1 && part.search(HIDDEN) === 0;
    pieces.push({
      text: isHidden ? `U+${part.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}` : part,
      style: runs[run]?.style ?? null,
      link: linked !== undefined && linked.from <= from ? text.slice(linked.from, linked.to) : null,
      marked: mark < marks.length && marks[mark]![0] <= from,
      hidden: isHidden,
    });
  }
  return pieces;
}

function linksIn(text: string): { from: number; to: number }[] {
  if (!text.includes("://")) return [];
  const links = [];
  for (const found of text.matchAll(LINK)) {
    const address = found[0].replace(LINK_TAIL, "");
    if (URL.canParse(address)) links.push({ from: found.index, to: found.index + address.length });
  }
  return links;
}

function shownLength(text: string, runs: Run[]): number {
  let length = Math.min(text.length, SHORT);
  if (runs.length > MOST_RUNS) {
    length = Math.min(
      length,
      runs.slice(0, MOST_RUNS).reduce((sum, run) => sum + run.text.length, 0),
    );
  }
  const code = text.charCodeAt(length - 1);
  return code >= 0xd800 && code < 0xdc00 && length < text.length ? length - 1 : length; // no half characters
}

/** Where a text is in another, as the worker's search has it. */
export function finderOf(wanted: string): Finder | null {
  if (wanted === "") return null;
  const source = wanted.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");
  const expression = new RegExp(source, wanted === wanted.toLowerCase() ? "giu" : "gu");
  return (text) => {
    const found: [number, number][] = [];
    for (const match of text.matchAll(expression)) {
      found.push([match.index, match.index + match[0].length]);
      if (found.length >= 100) break;
    }
    return found;
  };
}
