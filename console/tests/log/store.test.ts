import assert from "node:assert/strict";
import { test } from "node:test";
import { ExpressionSearch } from "../../src/log/worker/expression-search.ts";
import { TextSearch, type Search } from "../../src/log/worker/search.ts";
import type { LineStore } from "../../src/log/worker/store.ts";
import { answer, encoded, event, fed, numbers } from "./stream.ts";

const WORDS = ["error", "Error", "ERROR", "make", "\x1b[31mer\x1b[0mror", "–", "Ünïcode", "ünïcode", "x", "😀", ".*"];

function someLines(count: number, seed = 3): string[] {
  const next = numbers(seed);
  return Array.from({ length: count }, (_, line) => {
    const words = Array.from({ length: next(12) }, () => WORDS[next(WORDS.length)]!);
    return [`${line}`, ...words, next(200) === 0 ? "y".repeat(12_000) : ""].join(" ");
  });
}

async function found(store: LineStore, text: string, regex = false): Promise<number[]> {
  const query = { id: 1, text, regex };
  const search: Search = regex ? new ExpressionSearch(store, query, answer) : new TextSearch(store, query);
  while (!search.done) await search.turn();
  return [...search.matches.since(0)];
}

const lines = someLines(30_000);
const store = fed(encoded(lines.map((line) => event(line)))).store;
const plain = lines.map((line) => line.replaceAll(/\x1b\[[0-9;]*m/g, ""));

test("text comes back with its colours, over many chunks", () => {
  for (let line = 0; line < lines.length; line += 97) assert.equal(store.text(line), lines[line]);
  for (let line = 0; line < lines.length; line += 89) assert.equal(store.plain(line), plain[line]);
});

test("a search finds the lines that have the text, capitals counting only where it has one", async () => {
  for (const text of [
    "error",
    "Error",
    "er",
    "ror make",
    "ünï",
    "Ünï",
    "–",
    "😀",
    "29999",
    "nothing like it",
    "x x",
    "y",
  ]) {
    const exact = text !== text.toLowerCase();
    const wanted = plain.flatMap((line, at) => ((exact ? line : line.toLowerCase()).includes(text) ? [at] : []));
    assert.deepEqual(await found(store, text), wanted, text);
  }
});

test("a text is no expression, and an expression is one when it is asked for", async () => {
  assert.deepEqual(
    await found(store, ".*"),
    plain.flatMap((line, at) => (line.includes(".*") ? [at] : [])),
  );
  assert.deepEqual(
    await found(store, "^\\d+ make.*error", true),
    plain.flatMap((line, at) => (/^\d+ make.*error/iu.test(line) ? [at] : [])),
  );
  assert.throws(() => new ExpressionSearch(store, { id: 1, text: "(", regex: true }, answer), SyntaxError);
});

test("an expression is where it is, line by line, until it is stopped", async () => {
  const small = fed(encoded(["xaxbx", "nothing", "\x1b[31maé\x1b[0mb"].map((line) => event(line))));
  small.search({ id: 7, text: "a.?b|x*", regex: true });
  const places = async (id: number) => (await small.places(id, Uint32Array.of(0, 2))).places.map((one) => [...one]);
  assert.deepEqual(await places(7), [
    [0, 1, 1, 4, 4, 5],
    [0, 3],
  ]);
  assert.deepEqual(await places(6), []);
  const stopped = new ExpressionSearch(store, { id: 1, text: "a", regex: true }, () =>
    Promise.reject(new Error("slow")),
  );
  await stopped.turn();
  assert.deepEqual([stopped.problem, stopped.done, await stopped.places(Uint32Array.of(0))], ["slow", true, []]);
});

test("a search goes on with the lines that come", () => {
  const engine = fed(encoded([event("an error"), event("fine")]));
  engine.search({ id: 5, text: "error", regex: false });
  engine.searchOn();
  assert.deepEqual([...engine.news().found!.lines], [0]);
  engine.line(3, 2, { time: 0, level: "info", phase: "install", source: "" }, new TextEncoder().encode("error"), 0, 5);
  assert.equal(engine.isSearching, true);
  engine.searchOn();
  assert.deepEqual([...engine.news().found!.lines], [2]);
});

test("a log that begins anew forgets", () => {
  const engine = fed(encoded([event("one", { level: "warn" })]));
  engine.news();
  engine.begin(3);
  const news = engine.news();
  assert.deepEqual([news.began, news.lines, news.sections.items.length], [true, 0, 0]);
  assert.equal(engine.lastId, null);
});
