import assert from "node:assert/strict";
import { test } from "node:test";
import type { Section } from "../../src/log/types.ts";
import { contrast, cssOf, readable, rgbOf } from "../../src/log/view/colours.ts";
import { HEADER_PX, Layout, LINE_PX, sectionOf } from "../../src/log/view/layout.ts";
import { cutLine, finderOf } from "../../src/log/view/pieces.ts";
import { CAP_PX, Scroll } from "../../src/log/view/scroll.ts";
import { readRuns } from "../../src/log/view/sgr.ts";
import { Growing } from "../../src/log/worker/growing.ts";
import { numbers } from "./stream.ts";

function section(first: number, last: number): Section {
  return { phase: "install", step: null, mark: "done", began: 0, ended: 1, first, last, output: -1, warnings: 0 };
}

const SECTIONS = [section(0, 9), section(-1, -1), section(10, 10), section(11, 99)];
const OPEN = [true, true, false, true];

test("rows, places and heights of a layout belong together", () => {
  for (const only of [
    null,
    (() => {
      const list = new Growing();
      for (const line of [3, 4, 50, 98]) list.push(line);
      return list;
    })(),
  ]) {
    const layout = new Layout(SECTIONS, 100, (index) => OPEN[index]!, only);
    assert.equal(layout.rows, only === null ? 4 + 10 + 89 : 2 + 4);
    for (let row = 0; row < layout.rows; row++) {
      const place = layout.at(row);
      assert.equal(layout.rowOf(place), row);
      assert.equal(layout.rowAt(layout.top(row)), row);
      assert.equal(layout.top(row + 1) - layout.top(row), place.line === null ? HEADER_PX : LINE_PX);
      assert.equal(layout.rowAt(layout.top(row + 1) - 0.5), row);
      if (place.line !== null) assert.equal(sectionOf(SECTIONS, place.line), place.section);
    }
    assert.equal(layout.top(layout.rows), layout.height);
  }
});

test("a line in a folded section is at its header", () => {
  const layout = new Layout(SECTIONS, 100, (index) => OPEN[index]!, null);
  assert.deepEqual(layout.at(layout.rowOf({ section: 2, line: 10 })), { section: 2, line: null });
});

function scrollOver(lines: number): Scroll {
  const scroll = new Scroll();
  scroll.viewPx = 700;
  scroll.relayout(new Layout([section(0, lines - 1)], lines, () => true, null), true);
  return scroll;
}

test("a scrollbar below the cap says the place exactly", () => {
  const scroll = scrollOver(100_000);
  assert.equal(scroll.spacerPx, scroll.layout.height);
  for (const top of [0, 1, 31, 32, 33, 51, 52, 12_345, scroll.layout.height - 700]) {
    scroll.moved(top);
    assert.equal(scroll.ideal(), top);
  }
});

test("ten million rows: each pixel of a small move counts, a long one goes to its share, and both ends are reached", () => {
  const scroll = scrollOver(10_000_000);
  assert.equal(scroll.spacerPx, CAP_PX);
  scroll.moved(CAP_PX / 2);
  const before = scroll.layout.top(scroll.row) + scroll.offset;
  assert.ok(Math.abs(before / scroll.layout.height - 0.5) < 0.001);
  scroll.moved(CAP_PX / 2 + 100);
  assert.equal(scroll.layout.top(scroll.row) + scroll.offset, before + 100);
  scroll.moved(CAP_PX - 700);
  assert.equal(scroll.atEnd, true);
  scroll.moved(0);
  assert.deepEqual([scroll.row, scroll.offset], [0, 0]);
});

test("what is at the top stays there when sections fold above it", () => {
  const scroll = scrollOver(50);
  const sections = [section(0, 9), section(10, 99)];
  scroll.relayout(new Layout(sections, 100, () => true, null), true);
  scroll.toVirtual(scroll.layout.top(scroll.layout.rowOf({ section: 1, line: 40 })) + 7);
  scroll.relayout(new Layout(sections, 100, (index) => index === 1, null), true);
  assert.deepEqual([scroll.place, scroll.offset], [{ section: 1, line: 40 }, 7]);
});

test("colour codes become runs: 16, 256 and true colours, and what else SGR knows", () => {
  const styles = (text: string) => readRuns(text).map(({ text: part, style }) => [part, style && describe(style)]);
  assert.deepEqual(styles("a\x1b[1;31mb\x1b[0mc"), [
    ["a", null],
    ["b", "bold fore=1"],
    ["c", null],
  ]);
  assert.deepEqual(styles("\x1b[38;5;208mx\x1b[48;2;1;2;3my\x1b[39;49mz"), [
    ["x", "fore=208"],
    ["y", `back=${256 + 0x010203} fore=208`],
    ["z", null],
  ]);
  assert.deepEqual(styles("\x1b[2;3;4;7;9;95;104mx\x1b[22;23;24;27;29my"), [
    ["x", "back=12 dim fore=13 inverse italic strike underline"].map((text) => text.split(" ").sort().join(" ")),
    ["y", "back=12 fore=13"],
  ]);
  assert.deepEqual(styles("\x1b[38:2:9:8:7mx"), [["x", `fore=${256 + 0x090807}`]]);
  assert.deepEqual(styles("\x1b[999;38;5;999mx"), [["x", null]]);
});

function describe(style: object): string {
  return Object.entries(style)
    .filter(([, value]) => value !== null && value !== false)
    .map(([key, value]) => (value === true ? key : `${key}=${value}`))
    .sort()
    .join(" ");
}

test("every colour is readable on every ground", () => {
  const next = numbers(5);
  for (let colour = 0; colour < 256; colour++) {
    const ground = rgbOf(next(256));
    assert.ok(contrast(readable(rgbOf(colour), ground), ground) >= 4.5);
  }
  assert.match(cssOf(readRuns("\x1b[33mx")[0]!.style!).color!, /^light-dark\(#[0-9a-f]{6}, #[0-9a-f]{6}\)$/);
});

test("links are http and https, end before punctuation, and hold their colours", () => {
  const links = (text: string) => cutLine(text, null, true).pieces.filter((piece) => piece.link !== null);
  assert.deepEqual(
    links("see https://example.com/a?b=c#d, (http://x.y/z). javascript:alert(1) data:text/html,x ftp://a").map(
      (piece) => piece.link,
    ),
    ["https://example.com/a?b=c#d", "http://x.y/z"],
  );
  assert.deepEqual(
    links("https://exa\x1b[1mmple.com").map((piece) => [piece.text, piece.link]),
    [
      ["https://exa", "https://example.com"],
      ["mple.com", "https://example.com"],
    ],
  );
  assert.deepEqual(
    links("https://a.b/\u202egpj.exe").map((piece) => piece.link),
    ["https://a.b/"],
  );
  assert.deepEqual(links("http://").length, 0);
});

test("hidden characters are named, marks are where the text is", () => {
  const { pieces } = cutLine("a\u202eb\ufeffc", null, true);
  assert.deepEqual(
    pieces.map((piece) => piece.text),
    ["a", "U+202E", "b", "U+FEFF", "c"],
  );
  const marked = cutLine("x \x1b[31mEr\x1b[0mror x", finderOf("error"), true).pieces;
  assert.deepEqual(
    marked.filter((piece) => piece.marked).map((piece) => piece.text),
    ["Er", "ror"],
  );
  assert.equal(finderOf(""), null);
  assert.deepEqual(finderOf("a.b")!("a.b axb"), [[0, 3]]);
});

test("long lines and lines of many colours are cut short, and say by how much", () => {
  const long = cutLine("x".repeat(16_384), null, false);
  assert.equal(long.rest, 14_384);
  assert.equal(cutLine("x".repeat(16_384), null, true).rest, 0);
  const colourful = cutLine("\x1b[31mx\x1b[0my".repeat(1000), null, false);
  assert.ok(colourful.pieces.length <= 121 && colourful.rest === 1880, `${colourful.pieces.length} ${colourful.rest}`);
});
