import assert from "node:assert/strict";
import { test } from "node:test";
import { strip, stripOf } from "../../src/build/phases.ts";
import { kindOf, kindOfAll, kindOfBuild } from "../../src/build/standing.ts";
import type { Attempt } from "../../src/build/api.ts";
import type { Build } from "../../src/api/types.ts";
import type { End, Phase, Section } from "../../src/log/types.ts";

function section(phase: Phase, began: number, first = -1): Section {
  return { phase, step: null, mark: "running", began, ended: null, first, last: first, output: -1, warnings: 0 };
}

const RUNNING = [
  section("publish", 0, 0),
  section("compile", 10, 2),
  section("install", 30),
  section("install", 31, 5),
];

test("a phase lasts until the next one begins, and the last one runs", () => {
  const parts = strip(RUNNING, "running", null);
  assert.deepEqual(
    parts.map((part) => part.state),
    ["done", "done", "ahead", "running", "ahead", "ahead", "ahead", "ahead"],
  );
  assert.deepEqual([parts[1]!.began, parts[1]!.ended, parts[1]!.line], [10, 30, 2]);
  assert.deepEqual([parts[3]!.began, parts[3]!.ended, parts[3]!.line], [30, null, 5]);
});

test("the phase that was reached tells how it ended, also where the last line has a phase of its own", () => {
  const state = (kind: "failed" | "timed_out" | "cancelled" | "ready", more: Section[] = []) =>
    strip([...RUNNING, ...more], kind, 99)[3]!.state;
  assert.equal(state("failed"), "failed");
  assert.equal(state("timed_out", [section("timeout", 98, 9)]), "failed");
  assert.equal(state("cancelled", [section("cancel", 98, 9)]), "stopped");
  assert.equal(state("ready", [section("ready", 98, 9)]), "done");
  assert.equal(strip(RUNNING, "failed", 99)[3]!.ended, 99);
});

test("where the log is gone, the manifest's times and the phase reached are told", () => {
  const ready = stripOf({ compile: 5 }, "ready", "ready");
  assert.ok(ready.every((part) => part.state === "done" && part.line === -1));
  assert.equal(ready[1]!.ended! - ready[1]!.began!, 5);
  const failed = stripOf({}, "install", "failed");
  assert.deepEqual(
    failed.map((part) => part.state),
    ["done", "done", "done", "failed", "ahead", "ahead", "ahead", "ahead"],
  );
});

test("the log's end is the truth, then the attempt, then the build object", () => {
  const end = { result: "cancelled" } as End;
  const attempt = { state: "running", result: null } as Attempt;
  const build = { status: "building", started_at: null } as Build;
  assert.equal(kindOfAll(attempt, build, end), "cancelled");
  assert.equal(kindOfAll(attempt, build, null), "running");
  assert.equal(kindOfAll(undefined, build, null), "queued");
  assert.equal(kindOfAll(undefined, undefined, null), "unknown");
  assert.equal(kindOf({ state: "failed", result: "timed_out" }), "timed_out");
});

test("a build whose last attempt failed beside an earlier golden is not ready", () => {
  const of = (code: string) => ({ status: "ready", failure: { code } }) as unknown as Build;
  assert.equal(kindOfBuild(of("step_failed")), "failed");
  assert.equal(kindOfBuild(of("queue_expired")), "timed_out");
  assert.equal(kindOfBuild(of("cancelled")), "cancelled");
});
