import assert from "node:assert/strict";
import { test } from "node:test";
import { Engine } from "../../src/log/worker/engine.ts";
import { FrameParser } from "../../src/log/worker/frames.ts";
import { answer, encoded, event, fed, numbers, type Event } from "./stream.ts";

const TEXTS = [
  "plain",
  "",
  'quotes " and \\ and / and \t tab',
  "ünïcödé – ✓ 日本 😀 \ud800 alone",
  "\x1b[31mred\x1b[0m and \x1b[1;38;2;1;2;3mtrue\x1b[m",
  '"}',
  '","line":"forged"}',
  "x".repeat(16_000),
  "é".repeat(5_000),
];

function randomEvents(seed: number, count: number): Event[] {
  const next = numbers(seed);
  let ms = Date.parse("2026-06-08T23:59:58.900Z");
  return Array.from({ length: count }, () => {
    ms += next(3) === 0 ? next(1500) : 0;
    const sources = ["run", "apt", undefined, 'we"ird'];
    const source = sources[next(4)];
    const base = { ts: new Date(ms).toISOString(), level: ["info", "warn", "success"][next(3)]!, phase: "install" };
    return { ...base, ...(source === undefined ? {} : { source }), line: TEXTS[next(TEXTS.length)]! };
  });
}

/** Lone halves of pairs become U+FFFD; broken lines become one. */
function asKept(text: string): string {
  return text.toWellFormed();
}

for (const [name, cut] of [
  ["byte by byte", () => () => 1],
  [
    "in small pieces",
    () =>
      (
        (next) => () =>
          1 + next(40)
      )(numbers(7)),
  ],
  [
    "in large pieces",
    () =>
      (
        (next) => () =>
          1 + next(70_000)
      )(numbers(8)),
  ],
] as const) {
  test(`every line arrives as it was written, ${name}`, () => {
    const events = randomEvents(1, name === "byte by byte" ? 60 : 600);
    const engine = fed(encoded(events), cut());
    assert.equal(engine.store.count, events.length);
    events.forEach((one, line) => {
      assert.equal(engine.store.text(line), asKept(one.line));
      assert.equal(engine.store.time(line), Date.parse(one.ts));
      assert.equal(engine.store.level(line), ["info", "success", "warn", "error"].indexOf(one.level));
    });
  });
}

test("comments, retry, unknown fields and CRLF are no events", () => {
  const retries: number[] = [];
  const engine = new Engine(answer);
  engine.onRetry = (ms) => retries.push(ms);
  const parser = new FrameParser(engine);
  const [first, second] = encoded([event("one"), event("two")]).split(/(?=id: 3-1)/);
  const text = `:\nretry: 2000\n${first}:\n:\n: words\nevent\nfoo: bar\n${second!.replaceAll("\n", "\r\n")}retry:5000\n`;
  parser.feed(new TextEncoder().encode(text));
  assert.deepEqual(
    [0, 1].map((line) => engine.store.text(line)),
    ["one", "two"],
  );
  assert.equal(retries.at(-1), 5000);
});

test("several data lines are one event", () => {
  const engine = fed(
    'id: 3-0\ndata: {"ts":"2026-06-08T17:00:01.007Z","level":"info",\ndata: "phase":"boot","line":"x"}\n\n',
  );
  assert.equal(engine.store.text(0), "x");
});

test("an event that the connection breaks off does not count, and comes again", () => {
  const engine = new Engine(answer);
  const parser = new FrameParser(engine);
  const text = encoded([event("one"), event("two")]);
  parser.feed(new TextEncoder().encode(text.slice(0, -1)));
  assert.equal(engine.lastId, "3-0");
  parser.reset();
  parser.feed(new TextEncoder().encode(text.slice(text.indexOf("id: 3-1"))));
  assert.equal(engine.lastId, "3-1");
  assert.equal(engine.store.text(1), "two");
});

test("what is here already is not taken twice, and a gap is an error", () => {
  const engine = fed(encoded([event("one"), event("two")]));
  const parser = new FrameParser(engine);
  parser.feed(new TextEncoder().encode(encoded([event("one"), event("two")])));
  assert.equal(engine.store.count, 2);
  const far = encoded([event("a"), event("b"), event("c"), event("d")]);
  assert.throws(
    () => parser.feed(new TextEncoder().encode(far.slice(far.indexOf("id: 3-3")))),
    /before 3-3 are missing/,
  );
  assert.throws(() => parser.feed(new TextEncoder().encode(encoded([event("x")], 4))), /another attempt/);
});
