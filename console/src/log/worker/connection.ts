/** The event stream that comes back by itself. It knows bytes, ids and states, not what frames mean. It stays connected,
 * or looks now and then, where other tabs have the connections. */

import type { Connection } from "../types.ts";

const SILENCE_MS = 45_000; // three heartbeats
const LATE_MS = 20_000; // one heartbeat and a bit
const LONGEST_PAUSE_MS = 10_000;
const STEADY_MS = 10_000;
const CHECK_MS = 5_000;
const STREAM = "text/event-stream";
/** Why a connection ends whose log stays or looks from now on. */
const MOVED = new DOMException("the log goes on in another way", "AbortError");

export interface Reader {
  /** The id after which to go on, null for all. */
  lastId(): string | null;
  /** Whether the last frame is here. */
  isOver(): boolean;
  /** An answer has begun. */
  began(answer: { attempt: number | null; fromStart: boolean; clock: number }): void;
  /** Bytes of the stream. Raises StreamError where they do not go on as they should. */
  feed(chunk: Uint8Array): Promise<void> | void;
  connection(now: Connection): void;
}

export class StreamError extends Error {}

export class Stream {
  /** What the server asked for with `retry:`, in milliseconds. */
  retryMs = 1000;
  #reader: Reader;
  #address: (follow: boolean) => string;
  #every: number | null;
  #connected = false;
  #tries = 0;
  #heard = 0;
  #abort: AbortController | null = null;
  #wake: (() => void) | null = null;
  #closed = false;
  #watch: ReturnType<typeof setInterval> | undefined;

  /** `every`: see `look`. */
  constructor(reader: Reader, address: (follow: boolean) => string, every: number | null = null) {
    this.#reader = reader;
    this.#address = address;
    this.#every = every;
  }

  /** Returns when the stream is over, refused or closed. */
  async follow(): Promise<void> {
    this.#watch = setInterval(() => this.#breakIfSilent(SILENCE_MS), CHECK_MS);
    this.#reader.connection({ state: "connecting" });
    while (!this.#closed) {
      const why = await this.#connect();
      if (why === null || this.#closed) break;
      if (why === "") await this.#rest();
      else await this.#pause(why);
    }
    clearInterval(this.#watch);
  }

  /** Looks so often for what is new, in milliseconds, and has no connection in between; null: stays connected. */
  look(every: number | null): void {
    const was = this.#every;
    if (every === was) return;
    this.#every = every;
    if (every === null || was === null) this.#abort?.abort(MOVED);
    if (every === null || (was !== null && every < was)) this.#wake?.();
  }

  /** Progress: the next pause is a short one again. */
  advanced(): void {
    this.#tries = 0;
  }

  /** The network is back or the page is seen again: no more waiting, no trust in a connection that is silent. */
  wake(): void {
    this.#wake?.();
    this.#breakIfSilent(LATE_MS);
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
    this.#abort?.abort();
  }

  /** One connection to its end; why it is to be tried again, "" where nothing is wrong, null where all is here. */
  async #connect(): Promise<string | null> {
    this.#abort = new AbortController();
    this.#heard = Date.now();
    try {
      return await this.#read(this.#abort.signal);
    } catch (error) {
      if (error instanceof StreamError) return error.message;
      if (this.#abort.signal.reason === MOVED) return "";
      if (this.#abort.signal.aborted) return `nothing was heard for ${SILENCE_MS / 1000} s`;
      return this.#connected ? "the connection broke off" : "the server cannot be reached";
    } finally {
      this.#abort.abort();
      this.#abort = null;
    }
  }

  async #read(signal: AbortSignal): Promise<string | null> {
    const headers: Record<string, string> = { Accept: STREAM };
    const last = this.#reader.lastId();
    if (last !== null) headers["Last-Event-ID"] = last;
    const resumed = last !== null;
    const every = this.#every;
    const address = this.#address(every === null);
    this.#connected = false;
    const answer = await fetch(address, { headers, cache: "no-store", credentials: "same-origin", signal });
    this.#heard = Date.now();
    const kind = answer.headers.get("content-type")?.split(";")[0]?.trim().toLowerCase() ?? "";
    if (answer.status === 204) return this.#over();
    if (answer.status !== 200) return await this.#refused(answer);
    if (kind !== STREAM || answer.body === null)
      throw new StreamError(`the answer was ${kind || "nothing"}, not a log`);
    this.#connected = true;
    const began = Date.now();
    const fromStart = answer.headers.get("x-build-resumed-from") === "start";
    const attempt = Number(answer.headers.get("x-build-attempt")) || null;
    this.#reader.began({ attempt, fromStart, clock: clockAhead(answer.headers.get("date")) });
    if (every === null) this.#reader.connection({ state: "live", resumed: resumed && !fromStart });
    const reader = answer.body.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      this.#heard = Date.now();
      if (this.#heard - began > STEADY_MS) this.advanced();
      await this.#reader.feed(value);
      if (this.#reader.isOver()) return this.#over();
    }
    if (this.#reader.isOver()) return this.#over();
    return every === null ? "the stream ended before the build did" : "";
  }

  #over(): null {
    this.#reader.connection({ state: "ended" });
    return null;
  }

  /** A refusal is told as it is; what may get better by waiting is a reason to try again. */
  async #refused(answer: Response): Promise<string | null> {
    const body = (await answer.json().catch(() => ({}))) as { error?: string; code?: string };
    const message = body.error ?? `the server answered ${answer.status} ${answer.statusText}`.trim();
    if (answer.status === 429 || answer.status >= 500) return message;
    this.#reader.connection({ state: "refused", status: answer.status, code: body.code ?? "unexpected", message });
    return null;
  }

  async #pause(why: string): Promise<void> {
    const wait = this.#nextWait();
    this.#tries++;
    this.#reader.connection({ state: "waiting", until: Date.now() + wait, tries: this.#tries, why });
    await this.#sleep(wait);
    if (!this.#closed) this.#reader.connection({ state: "connecting" });
  }

  /** Until it looks again, or stays connected again. */
  async #rest(): Promise<void> {
    this.#tries = 0;
    if (this.#every !== null) {
      this.#reader.connection({ state: "parked", every: this.#every });
      await this.#sleep(this.#every);
    }
    if (!this.#closed && this.#every === null) this.#reader.connection({ state: "connecting" });
  }

  async #sleep(wait: number): Promise<void> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, wait);
      this.#wake = () => (clearTimeout(timer), resolve());
    });
    this.#wake = null;
  }

  /** The first pause is short, a server that asks for a longer one gets it, and watchers do not come back in step. */
  #nextWait(): number {
    const first = this.retryMs > 2000 ? this.retryMs : 250;
    return Math.min(first * 2 ** this.#tries, LONGEST_PAUSE_MS) * (0.7 + 0.3 * Math.random());
  }

  #breakIfSilent(silence: number): void {
    if (this.#abort !== null && Date.now() - this.#heard > silence) this.#abort.abort();
  }
}

/** Milliseconds, from a header that knows seconds: 0 for clocks that agree. */
function clockAhead(date: string | null): number {
  const ahead = date === null ? NaN : Date.parse(date) + 500 - Date.now();
  return Math.abs(ahead) >= 2000 ? Math.round(ahead) : 0;
}
