import assert from "node:assert/strict";
import { test } from "node:test";
import { durationOf, ticking } from "../../src/ui/duration.ts";

test("what is over is told by its two largest units, and never by sixty of one", () => {
  const told = [0, 999.4, 999.6, 1234, 59_949, 59_951, 245_000, 3_599_600, 7_800_000].map(durationOf);
  const wanted = ["0 ms", "999 ms", "1.0 s", "1.2 s", "59.9 s", "1 min 0 s", "4 min 5 s", "1 h 0 min", "2 h 10 min"];
  assert.deepEqual(told, wanted);
});

test("what counts has whole seconds, and is never below none", () => {
  assert.deepEqual([-5, 999, 59_999, 60_000, 3_600_000].map(ticking), ["0 s", "0 s", "59 s", "1 min 0 s", "1 h 0 min"]);
});
