import { memo } from "preact/compat";
import type { Row } from "../rows";
import { hashOf } from "./address";
import { cssOf } from "./colours.ts";
import { cutLine, type Finder, type Piece } from "./pieces.ts";
import { absoluteTime, isoTime, relativeTime } from "./times.ts";

const LEVELS = ["info", "success", "warn", "error"] as const;
const LEVEL_MARKS = ["", "✓", "!", "✗"];

interface LineProps {
  line: number;
  row: Row | undefined;
  stamp: string;
  epoch: number;
  selected: boolean;
  current: boolean;
  whole: boolean;
  finder: Finder | null;
}

/** One line of the log. Its number is no text: what is copied is the line alone. */
export const Line = memo(function Line({ line, row, stamp, epoch, selected, current, whole, finder }: LineProps) {
  const level = LEVELS[row?.level ?? 0]!;
  return (
    <div
      class={`log-row log-line ${level}${selected ? " selected" : ""}${current ? " current" : ""}`}
      data-line={line + 1}
      aria-current={selected || current ? "true" : undefined}
    >
      <a
        class="log-number"
        href={hashOf([line, line])}
        data-number={line + 1}
        aria-label={`Line ${line + 1}`}
        tabIndex={-1}
      />
      {stamp !== "off" && row && (
        <time class="log-time" title={isoTime(row.time)}>
          {stamp === "relative" ? relativeTime(row.time - epoch) : absoluteTime(row.time)}
        </time>
      )}
      <span class="log-level" aria-label={level === "info" ? undefined : level}>
        {LEVEL_MARKS[row?.level ?? 0]}
      </span>
      {row ? <Text row={row} whole={whole} finder={finder} /> : <span class="log-text waiting">…</span>}
    </div>
  );
});

function Text({ row, whole, finder }: { row: Row; whole: boolean; finder: Finder | null }) {
  const { pieces, rest } = cutLine(row.text, finder, whole);
  return (
    <span class="log-text" dir="ltr">
      {grouped(pieces).map((group) =>
        group[0]!.link === null ? (
          group.map(drawn)
        ) : (
          <a href={group[0]!.link} target="_blank" rel="noopener noreferrer">
            {group.map(drawn)}
          </a>
        ),
      )}
      {rest > 0 && (
        <button class="log-rest" data-whole={row.line}>
          … {rest.toLocaleString("en")} more characters
        </button>
      )}
    </span>
  );
}

function drawn(piece: Piece) {
  if (piece.hidden) {
    return (
      <span class="log-hidden" title="A character that cannot be seen">
        {piece.text}
      </span>
    );
  }
  if (piece.style === null) return piece.marked ? <mark>{piece.text}</mark> : piece.text;
  const { bold, italic, underline, strike } = piece.style;
  const classes = [bold && "b", italic && "i", underline && "u", strike && "s"].filter(Boolean).join(" ");
  const styled = (
    <span class={classes || undefined} style={cssOf(piece.style)}>
      {piece.text}
    </span>
  );
  return piece.marked ? <mark>{styled}</mark> : styled;
}

/** Pieces that belong to one link stand together. */
function grouped(pieces: Piece[]): Piece[][] {
  const groups: Piece[][] = [];
  for (const piece of pieces) {
    const last = groups.at(-1);
    if (last && last[0]!.link === piece.link) last.push(piece);
    else groups.push([piece]);
  }
  return groups;
}
