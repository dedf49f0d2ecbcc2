import assert from "node:assert/strict";
import { test } from "node:test";
import { refusalIn } from "../../src/computers/closing.ts";

const told = (code: number, reason: string) => refusalIn({ code, reason } as CloseEvent);

test("a refusal is told in the server's words, as a sentence", () => {
  assert.deepEqual(told(4429, "capacity: the computer has 8 terminals open already"), {
    why: "The computer has 8 terminals open already.",
    passes: false,
  });
  assert.deepEqual(told(4409, "not_running: the computer is stopped; commands need: one"), {
    why: "The computer is stopped; commands need: one.",
    passes: true,
  });
  assert.equal(told(1008, "the key was revoked")?.why, "The key was revoked.");
  assert.equal(told(4500, "")?.why, "The server refused it.");
});

test("an end is no refusal", () => {
  for (const code of [1000, 1005, 1006, 1012]) assert.equal(told(code, "the screen is gone"), null);
});
