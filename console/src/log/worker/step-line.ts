/** How the builder announces its steps, as `ingot.records.step_line` writes them. */

export interface StepLine {
  index: number;
  total: number;
  title: string;
  state: "running" | "cached" | "done" | "failed";
  reason: string;
  /** How long it took; for `done` and `failed` only. */
  seconds: number | null;
}

const LINE = new RegExp(
  "^step (?<index>\\d{1,6})/(?<total>\\d{1,6}) (?<title>.+?): " +
    "(?:(?<word>cached|run) \\((?<reason>.*)\\)" +
    "|done in (?<done>\\d+\\.\\d)s" +
    "|failed after (?<failed>\\d+\\.\\d)s \\((?<why>.*)\\))$",
);

/** null for a line that announces no step. */
export function parseStepLine(line: string): StepLine | null {
  const parts = LINE.exec(line)?.groups;
  if (!parts) return null;
  const step = { index: Number(parts["index"]), total: Number(parts["total"]), title: parts["title"]! };
  if (parts["word"]) {
    return { ...step, state: parts["word"] === "run" ? "running" : "cached", reason: parts["reason"]!, seconds: null };
  }
  if (parts["done"]) return { ...step, state: "done", reason: "", seconds: Number(parts["done"]) };
  return { ...step, state: "failed", reason: parts["why"]!, seconds: Number(parts["failed"]) };
}
