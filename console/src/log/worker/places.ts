/** Which of a browser's tabs may have an open stream. A browser opens six connections of HTTP/1.1 to a host, so a few
 * tabs have one each, those that were gone into last, and the rest of the connections are for requests. Nobody rules:
 * every log tells the others how it stands, and each counts for itself. */

export const PLACES = 4;
export const CHANNEL = "ingot-logs";
export const BEAT_MS = 5_000;
/** A tab that ends tells it as a rule. One that crashed is missed after this long. */
const GONE_MS = 60_000;

/** How a log's tab stands; `at`: when one went into it or left it last, Date.now() time. 0: never, it opened behind
 * others; it has no place before it is seen. */
export interface Tab {
  id: string;
  shown: boolean;
  at: number;
}

export type Said = (Tab & { kind: "here"; isNew: boolean }) | { kind: "gone"; id: string };

/** A BroadcastChannel, or what a test has in its place. */
export interface Channel {
  postMessage(said: Said): void;
  onmessage: ((event: MessageEvent<Said>) => void) | null;
}

export class Places {
  #channel: Channel;
  #own: Tab;
  #others = new Map<string, Tab & { heard: number }>();
  #told: (has: boolean) => void;
  #beat: ReturnType<typeof setInterval> | undefined;

  /** `told` learns whether this log has a place, again and again. */
  constructor(channel: Channel, own: Tab, told: (has: boolean) => void) {
    this.#channel = channel;
    this.#own = own;
    this.#told = told;
    channel.onmessage = (event) => this.#hear(event.data);
    this.#come(true);
  }

  /** One went into the tab or left it. */
  see(shown: boolean, at: number): void {
    this.#own = { ...this.#own, shown, at };
    this.#come(this.#beat === undefined);
  }

  /** It needs no place, for good or until it is seen again. */
  leave(): void {
    clearInterval(this.#beat);
    this.#beat = undefined;
    this.#channel.postMessage({ kind: "gone", id: this.#own.id });
  }

  #come(isNew: boolean): void {
    this.#say(isNew);
    this.#beat ??= setInterval(() => this.#say(false), BEAT_MS);
  }

  #say(isNew: boolean): void {
    this.#channel.postMessage({ kind: "here", ...this.#own, isNew });
    this.#count();
  }

  #hear(said: Said): void {
    if (said.kind === "gone") this.#others.delete(said.id);
    else this.#others.set(said.id, { id: said.id, shown: said.shown, at: said.at, heard: Date.now() });
    if (this.#beat === undefined) return;
    if (said.kind === "here" && said.isNew) this.#say(false);
    else this.#count();
  }

  #count(): void {
    const now = Date.now();
    let before = 0;
    for (const other of this.#others.values()) {
      if (now - other.heard > GONE_MS) this.#others.delete(other.id);
      else if (comesBefore(other, this.#own)) before++;
    }
    this.#told(this.#own.at > 0 && before < PLACES);
  }
}

/** Tabs in view come first, then those that one was in last. */
function comesBefore(one: Tab, other: Tab): boolean {
  if (one.shown !== other.shown) return one.shown;
  return one.at === other.at ? one.id < other.id : one.at > other.at;
}
