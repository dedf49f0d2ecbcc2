import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { BEAT_MS, PLACES, Places, type Channel, type Said, type Tab } from "../../src/log/worker/places.ts";

/** A browser's tabs, by name: whether each has a place. */
class Browser {
  readonly has: Record<string, boolean> = {};
  readonly tabs: Record<string, Places> = {};
  #channels = new Map<string, Channel>();

  open(id: string, tab: Partial<Tab> = {}): Places {
    const others = this.#channels;
    const channel: Channel = {
      onmessage: null,
      postMessage(said: Said) {
        for (const other of others.values()) {
          if (other !== channel) queueMicrotask(() => other.onmessage?.({ data: said } as MessageEvent<Said>));
        }
      },
    };
    others.set(id, channel);
    const own = { id, shown: false, at: Date.now(), ...tab };
    return (this.tabs[id] = new Places(channel, own, (has) => (this.has[id] = has)));
  }

  /** It says nothing more, as after a crash. */
  crash(id: string): void {
    this.tabs[id]!.leave = () => {};
    this.#channels.get(id)!.postMessage = () => {};
    this.#channels.delete(id);
  }

  /** The tabs with a place, in order of their names. */
  get placed(): string {
    return Object.keys(this.has)
      .filter((id) => this.has[id])
      .sort()
      .join("");
  }
}

async function pass(ms: number): Promise<void> {
  mock.timers.tick(ms);
  for (let turn = 0; turn < 50; turn++) await Promise.resolve();
}

function withBrowser(name: string, body: (browser: Browser) => Promise<void>): void {
  test(name, async () => {
    mock.timers.enable({ apis: ["setInterval", "Date"], now: 1_780_000_000_000 });
    const browser = new Browser();
    try {
      await body(browser);
    } finally {
      mock.timers.reset();
    }
  });
}

async function opened(browser: Browser, names: string): Promise<void> {
  for (const id of names) {
    browser.open(id);
    await pass(10);
  }
}

withBrowser("as many as there are places have one: those that were seen last", async (browser) => {
  await opened(browser, "abcd");
  assert.equal(browser.placed, "abcd");
  await opened(browser, "ef");
  const placed: string = browser.placed;
  assert.equal(placed, "cdef");
  assert.equal(placed.length, PLACES);
});

withBrowser("what is in view comes before what is not, and gets its place at once", async (browser) => {
  await opened(browser, "abcdef");
  browser.tabs["a"]!.see(true, Date.now() - 1000);
  assert.equal(browser.has["a"], true);
  await pass(0);
  assert.equal(browser.placed, "adef");
});

withBrowser("a place that one leaves is taken, and given back when that one is seen again", async (browser) => {
  await opened(browser, "abcde");
  browser.tabs["e"]!.leave();
  await pass(0);
  assert.equal(browser.placed.replace("e", ""), "abcd");
  browser.tabs["e"]!.see(true, Date.now());
  await pass(0);
  assert.equal(browser.placed, "bcde");
});

withBrowser("what was never seen has none", async (browser) => {
  browser.open("a", { at: 0 });
  await pass(BEAT_MS);
  assert.equal(browser.placed, "");
  browser.tabs["a"]!.see(true, Date.now());
  assert.equal(browser.placed, "a");
});

withBrowser("one that crashed is missed after a while", async (browser) => {
  await opened(browser, "abcde");
  browser.crash("e");
  for (let beat = 0; beat < 5; beat++) await pass(BEAT_MS);
  assert.equal(browser.has["a"], false);
  for (let beat = 0; beat < 10; beat++) await pass(BEAT_MS);
  assert.equal(browser.has["a"], true);
});
