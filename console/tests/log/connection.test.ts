import assert from "node:assert/strict";
import { mock, test, type TestContext } from "node:test";
import { Stream, type Reader } from "../../src/log/worker/connection.ts";

type Answer = (signal: AbortSignal) => Promise<Response>;
const HEADERS = { "content-type": "text/event-stream; charset=utf-8", "x-build-resumed-from": "start" };

/** A stream against answers in turn, and what it told. `silent` answers never end. */
function followed(context: TestContext, answers: Answer[], last: string | null = null, every: number | null = null) {
  const states: string[] = [];
  const asked: { url: string; id: string | null; signal: AbortSignal }[] = [];
  context.mock.method(globalThis, "fetch", (url: string, init: RequestInit) => {
    asked.push({ url, id: new Headers(init.headers).get("last-event-id"), signal: init.signal! });
    const answer = answers[asked.length - 1] ?? gone;
    return Promise.race([answer(init.signal!), aborted(init.signal!)]);
  });
  let isOver = false;
  const reader: Reader = {
    lastId: () => last,
    isOver: () => isOver,
    began: () => {},
    feed: (chunk) => {
      if (new TextDecoder().decode(chunk).includes("end")) isOver = true;
    },
    connection: (now) => {
      states.push(now.state === "waiting" ? `waiting ${now.tries} ${now.why}` : now.state);
      waits.push(now.state === "waiting" ? now.until - Date.now() : 0);
    },
  };
  const waits: number[] = [];
  const stream = new Stream(reader, (follow) => (follow ? "http://x/events" : "http://x/look"), every);
  const done = stream.follow();
  return { stream, states, waits, asked, done };
}

const gone: Answer = () => Promise.reject(new TypeError("failed to fetch"));
const ended =
  (text: string): Answer =>
  () =>
    Promise.resolve(new Response(text, { headers: HEADERS }));
const silent: Answer = (signal) => {
  const start = (body: ReadableStreamDefaultController) =>
    signal.addEventListener("abort", () => body.error(signal.reason));
  return Promise.resolve(new Response(new ReadableStream({ start }), { headers: HEADERS }));
};
const refused =
  (status: number, body = "{}"): Answer =>
  () =>
    Promise.resolve(new Response(body, { status }));

function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
}

/** Lets promises settle, then moves the clock. */
async function pass(ms: number): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  mock.timers.tick(ms);
  for (let turn = 0; turn < 200; turn++) await Promise.resolve();
}

function withClock(name: string, body: (context: TestContext) => Promise<void>): void {
  test(name, async (context) => {
    mock.timers.enable({ apis: ["setTimeout", "setInterval", "Date"], now: 1_780_000_000_000 });
    try {
      await body(context);
    } finally {
      mock.timers.reset();
    }
  });
}

withClock("a broken connection is tried again, later and later, but never later than ten seconds", async (context) => {
  const { states, waits, stream } = followed(context, []);
  for (let turn = 0; turn < 12; turn++) await pass(10_000);
  const paused = waits.filter((wait) => wait > 0);
  assert.ok(paused[0]! <= 250 && paused[0]! >= 175);
  assert.ok(paused.at(-1)! >= 7000 && paused.every((wait) => wait <= 10_000));
  assert.equal(states[1], "waiting 1 the server cannot be reached");
  stream.close();
});

withClock("a server that asks for a longer pause gets it", async (context) => {
  const { waits, stream } = followed(context, [ended("x")]);
  stream.retryMs = 5000;
  await pass(0);
  assert.ok(
    waits.some((wait) => wait >= 3500 && wait <= 5000),
    String(waits),
  );
  stream.close();
});

withClock("an end without the last frame is no end, and it comes back with its id", async (context) => {
  const { states, asked, done } = followed(context, [ended("x"), ended("end")], "3-7");
  await pass(0);
  await pass(300);
  await done;
  assert.deepEqual(states, [
    "connecting",
    "live",
    "waiting 1 the stream ended before the build did",
    "connecting",
    "live",
    "ended",
  ]);
  assert.deepEqual(
    asked.map(({ id }) => id),
    ["3-7", "3-7"],
  );
});

withClock("nothing more to send is the end", async (context) => {
  const { states, done } = followed(context, [() => Promise.resolve(new Response(null, { status: 204 }))], "3-7");
  await done;
  assert.deepEqual(states, ["connecting", "ended"]);
});

for (const status of [400, 401, 403, 404, 410]) {
  withClock(`${status} is not tried again`, async (context) => {
    const { states, asked, done } = followed(context, [refused(status, '{"error":"so it is","code":"so"}')]);
    await done;
    assert.deepEqual([states.at(-1), asked.length], ["refused", 1]);
  });
}

for (const status of [429, 500, 502, 503]) {
  withClock(`${status} may get better`, async (context) => {
    const { states, done } = followed(context, [refused(status, '{"error":"busy"}'), ended("end")]);
    await pass(0);
    await pass(300);
    await done;
    assert.deepEqual(states.slice(1, 2), ["waiting 1 busy"]);
    assert.equal(states.at(-1), "ended");
  });
}

withClock("a page of something else is no stream", async (context) => {
  const page = () => Promise.resolve(new Response("<html>", { headers: { "content-type": "text/html" } }));
  const { states, stream } = followed(context, [page]);
  await pass(0);
  assert.equal(states[1], "waiting 1 the answer was text/html, not a log");
  stream.close();
});

withClock(
  "a connection that says nothing for 45 seconds is given up, one that was just heard is not",
  async (context) => {
    const { states, asked, stream } = followed(context, [silent, silent]);
    await pass(0);
    for (let turn = 0; turn < 9; turn++) await pass(5000);
    assert.equal(asked[0]!.signal.aborted, false);
    await pass(5000);
    assert.equal(asked[0]!.signal.aborted, true);
    stream.close();
    assert.deepEqual(states.slice(0, 2), ["connecting", "live"]);
  },
);

withClock("a page that wakes does not wait, and mistrusts a silent connection sooner", async (context) => {
  const { asked, stream } = followed(context, [gone, silent]);
  await pass(0);
  stream.wake();
  await pass(0);
  assert.equal(asked.length, 2);
  await pass(15_000);
  stream.wake();
  assert.equal(asked[1]!.signal.aborted, false);
  await pass(10_000);
  stream.wake();
  assert.equal(asked[1]!.signal.aborted, true);
  stream.close();
});

withClock("without a place it looks now and then, from its last line on, and learns the end", async (context) => {
  const { states, asked, done } = followed(context, [ended("x"), ended("y"), ended("end")], "3-7", 10_000);
  for (let turn = 0; turn < 3; turn++) await pass(10_000);
  await done;
  assert.deepEqual(states, ["connecting", "parked", "parked", "ended"]);
  assert.deepEqual(
    asked.map(({ url, id }) => `${url} ${id}`),
    Array(3).fill("http://x/look 3-7"),
  );
});

withClock("a connection is given up at once, and is there again at once", async (context) => {
  const { states, asked, stream } = followed(context, [silent, silent], "3-7");
  await pass(0);
  stream.look(10_000);
  await pass(0);
  assert.equal(asked[0]!.signal.aborted, true);
  assert.equal(states.at(-1), "parked");
  stream.look(null);
  await pass(0);
  assert.deepEqual(states, ["connecting", "live", "parked", "connecting", "live"]);
  assert.equal(asked[1]!.url, "http://x/events");
  stream.close();
});

withClock("a look that fails says so and comes again", async (context) => {
  const { states, asked, stream } = followed(context, [gone, ended("x")], null, 10_000);
  await pass(0);
  assert.equal(states.at(-1), "waiting 1 the server cannot be reached");
  await pass(300);
  await pass(0);
  assert.equal(states.at(-1), "parked");
  stream.wake();
  await pass(0);
  assert.equal(asked.length, 3);
  stream.close();
});
