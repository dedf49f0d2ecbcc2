/** The worker: the stream goes into the engine, news go to the page, at most one message for each frame it shows. */

import type { FromWorker, ToWorker } from "../messages.ts";
import { Stream } from "./connection.ts";
import { Engine } from "./engine.ts";
import { ExpressionRunner } from "./expression-runner.ts";
import { FrameParser } from "./frames.ts";
import { CHANNEL, Places, type Tab } from "./places.ts";
import { nextTurn } from "./turns.ts";

const PIECE = 256 * 1024;
const BUSY_MS = 12;
/** How often a log without a place looks for what is new: while it is in view, and while it is not. */
const SHOWN_MS = 2_000;
const HIDDEN_MS = 10_000;

const scope = self as unknown as DedicatedWorkerGlobalScope;
const expressions = new ExpressionRunner();
const engine = new Engine((question) => expressions.ask(question));
const parser = new FrameParser(engine);
let stream: Stream | null = null;
let places: Places | null = null;
let isShown = false;
let pageIsBusy = false;
let hasNews = false;
let isSearching = false;

scope.onmessage = (event: MessageEvent<ToWorker>) => {
  const message = event.data;
  if (message.kind === "open") void open(message.url, message.attempt, message.tab);
  else if (message.kind === "shown") shown();
  else if (message.kind === "rows") send(engine.rows(message.lines));
  else if (message.kind === "text") {
    send({ kind: "text", id: message.id, text: engine.text(message.first, message.last) });
  } else if (message.kind === "search") {
    expressions.hurry();
    engine.search(message);
    void search();
    changed();
  } else if (message.kind === "places") void tellPlaces(message.id, message.lines);
  else if (message.kind === "wake") stream?.wake();
  else if (message.kind === "seen") {
    isShown = message.shown;
    places?.see(message.shown, message.at);
  } else if (message.kind === "freeze") {
    places?.leave();
    stream?.look(HIDDEN_MS);
  } else close();
};

async function open(url: string, attempt: number | null, tab: Tab): Promise<void> {
  engine.attempt = attempt;
  isShown = tab.shown;
  // Once it is known, the attempt is asked for by its number: a newer one never takes its place.
  const address = (follow: boolean) => {
    const query = [engine.attempt !== null && `attempt=${engine.attempt}`, !follow && "follow=0"].filter(Boolean);
    return query.length > 0 ? `${url}?${query.join("&")}` : url;
  };
  let busySince = 0;
  stream = new Stream(
    {
      lastId: () => engine.lastId,
      isOver: () => engine.end !== null,
      connection: (now) => ((engine.connection = now), changed()),
      began: ({ attempt: told, fromStart, clock }) => {
        parser.reset();
        engine.clock = clock;
        if (fromStart) engine.begin(told ?? engine.attempt);
        changed();
      },
      feed: async (chunk) => {
        const before = engine.store.count;
        busySince ||= performance.now();
        for (let at = 0; at < chunk.length; at += PIECE) {
          parser.feed(chunk.subarray(at, at + PIECE));
          changed();
          if (performance.now() - busySince > BUSY_MS) {
            await nextTurn();
            busySince = performance.now();
          }
        }
        if (engine.store.count > before) stream?.advanced();
        if (engine.isSearching) void search();
      },
    },
    address,
    isShown ? null : HIDDEN_MS,
  );
  engine.onRetry = (milliseconds) => stream && (stream.retryMs = milliseconds);
  scope.addEventListener("online", () => stream?.wake());
  places = new Places(new BroadcastChannel(CHANNEL), tab, (has) => {
    stream?.look(has ? null : isShown ? SHOWN_MS : HIDDEN_MS);
  });
  await stream.follow();
  places.leave();
  places = null;
  changed();
}

/** Looks through what was not looked at yet, in turns with everything else. */
async function search(): Promise<void> {
  if (isSearching) return;
  isSearching = true;
  while (engine.isSearching) {
    await engine.searchOn();
    changed();
    await nextTurn();
  }
  isSearching = false;
}

async function tellPlaces(id: number, lines: Uint32Array): Promise<void> {
  send(await engine.places(id, lines));
  changed(); // the expression may have been stopped
}

function changed(): void {
  hasNews = true;
  if (!pageIsBusy) tell();
}

function shown(): void {
  pageIsBusy = false;
  if (hasNews) tell();
}

function tell(): void {
  hasNews = false;
  pageIsBusy = true;
  send(engine.news());
}

function send(message: FromWorker): void {
  scope.postMessage(message);
}

function close(): void {
  stream?.close();
  places?.leave();
  expressions.close();
  scope.close();
}
