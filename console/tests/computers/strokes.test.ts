import assert from "node:assert/strict";
import { test } from "node:test";
import { strokesOf, withoutKey } from "../../src/computers/strokes.ts";

test("capitals and the upper signs of keys are typed with shift, lines end with Enter", () => {
  const strokes = strokesOf("a1$A\r\n\t–~");
  assert.deepEqual(
    strokes.map(({ keysym, shift }) => [keysym, shift]),
    [
      [0x61, false],
      [0x31, false],
      [0x24, true],
      [0x41, true],
      [0xff0d, false],
      [0xff09, false],
      [0x7e, true],
    ],
  );
});

test("characters without a key are named, each once", () => {
  assert.deepEqual(withoutKey("plain\r\ntext\t~"), []);
  assert.deepEqual(withoutKey("grüße 😀 ü"), ["ü", "ß", "😀"]);
});
