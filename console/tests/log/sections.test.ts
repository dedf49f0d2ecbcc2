import assert from "node:assert/strict";
import { test } from "node:test";
import { failingLine } from "../../src/log/failing.ts";
import { encoded, event, fed, type Event } from "./stream.ts";

const builder = (line: string, more: Partial<Event> = {}) => event(line, { source: "builder", ...more });

function told(events: Event[]): string[] {
  return fed(encoded(events))
    .news()
    .sections.items.map(({ phase, step, mark, first, last, warnings }) =>
      [phase, step && `${step.index}/${step.total} ${step.title} (${step.reason})`, mark, `${first}..${last}`, warnings]
        .filter((part) => part !== null)
        .join(" | "),
    );
}

const BEFORE = [
  event("accepted", { phase: "publish" }),
  event("booting build VM", { phase: "boot" }),
  builder("step 1/3 apt curl: cached (unchanged)"),
  builder("step 2/3 run make: run (never built)"),
  event("cc a.c"),
  event("careful", { level: "warn" }),
];

test("phases and steps have their lines, marks and warnings", () => {
  assert.deepEqual(
    told([
      ...BEFORE,
      builder("step 2/3 run make: done in 1.2s"),
      event("between"),
      builder("step 3/3 run test: run (make is new)"),
      event("snapshot", { phase: "snapshot" }),
      event("golden", { phase: "ready", level: "success", result: "ready", attempt: 3, duration_ms: 5 }),
    ]),
    [
      "publish | done | 0..0 | 0",
      "boot | done | 1..1 | 0",
      "install | done | -1..-1 | 0",
      "install | 1/3 apt curl (unchanged) | cached | 2..2 | 0",
      "install | 2/3 run make (never built) | done | 3..6 | 1",
      "install | done | 7..7 | 0",
      "install | 3/3 run test (make is new) | done | 8..8 | 0",
      "snapshot | done | 9..9 | 0",
      "ready | done | 10..10 | 0",
    ],
  );
});

const error = { code: "step_failed", step: "run make", exit_code: 2, message: "it ended" };
const terminal = { level: "error", attempt: 3, duration_ms: 5, error };

test("a failed step keeps the lines that come behind it, the end among them", () => {
  const events = [
    ...BEFORE,
    builder("step 2/3 run make: failed after 8.0s (exit code 2)"),
    builder("the machine is kept for a while", { level: "warn" }),
    event("build failed: it ended", { ...terminal, result: "failed" }),
  ];
  assert.deepEqual(told(events).slice(-1), ["install | 2/3 run make (exit code 2) | failed | 3..8 | 2"]);
  const news = fed(encoded(events)).news();
  assert.deepEqual([...news.errors], [6, 8]);
  assert.deepEqual(news.end, {
    result: "failed",
    attempt: 3,
    duration_ms: 5,
    line: "build failed: it ended",
    error,
  });
});

test("a cancelled build's running step is cancelled, and so is the phase that says it", () => {
  const end = event("build cancelled: by you", { ...terminal, phase: "cancel", result: "cancelled" });
  assert.deepEqual(told([...BEFORE, end]).slice(-2), [
    "install | 2/3 run make (never built) | cancelled | 3..5 | 1",
    "cancel | cancelled | 6..6 | 0",
  ]);
});

test("a phase that fails outside of steps is failed", () => {
  const end = event("build failed: no disk", { ...terminal, phase: "boot", result: "failed" });
  assert.deepEqual(told([BEFORE[0]!, BEFORE[1]!, end]).slice(-1), ["boot | failed | 1..2 | 0"]);
});

test("lines that look like steps but are not the builder's are lines", () => {
  assert.equal(told([...BEFORE, event("step 3/3 run x: run (y)")]).length, 5);
});

test("there is an end to the number of sections, not of lines", () => {
  const many = Array.from({ length: 61_000 }, (_, at) => builder(`step ${at + 1}/70000 x: cached (y)`));
  const news = fed(encoded(many)).news();
  assert.equal(news.lines, 61_000);
  assert.ok(news.sections.items.length <= 60_000);
  assert.equal(news.sections.items.at(-1)!.last, 60_999);
});

/** The text of the line that a failure is shown by. */
function shownOf(events: Event[]): string {
  const { sections, lines } = fed(encoded(events)).news();
  return events[failingLine(sections.items, lines)]!.line;
}

test("a failure is shown by the last line that what failed printed, else by the end", () => {
  const failed = builder("step 2/3 run make: failed after 8.0s (exit code 2)");
  const end = event("build failed: it ended", { ...terminal, source: "builder", result: "failed" });
  assert.equal(shownOf([...BEFORE, event(""), failed, end]), "careful");
  assert.equal(shownOf([...BEFORE.slice(0, 4), failed, end]), "build failed: it ended");
  const late = event("build timed out", { ...terminal, phase: "timeout", source: "builder", result: "timed_out" });
  assert.equal(shownOf([...BEFORE, late]), "careful");
});
