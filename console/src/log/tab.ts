/** What becomes of the browser's tab that a log is in. */

import type { ToWorker } from "./messages";
import { CHANNEL, type Said, type Tab } from "./worker/places.ts";

type Change = Extract<ToWorker, { kind: "seen" | "freeze" }>;

/** How the tab stands now; `tell` learns when one goes into it, when one leaves it, and when the browser freezes it. */
export function watchTab(tell: (change: Change) => void): { tab: Tab; unwatch: () => void } {
  const tab = {
    id: Math.random().toString(36).slice(2),
    shown: !document.hidden,
    at: document.hidden ? 0 : Date.now(),
  };
  const ended = new AbortController();
  const { signal } = ended;
  let isGone = false;
  const seen = () => isGone || tell({ kind: "seen", shown: !document.hidden, at: Date.now() });
  const freeze = () => tell({ kind: "freeze" });
  const gone = () => {
    isGone = true; // it becomes hidden only after this
    freeze();
    new BroadcastChannel(CHANNEL).postMessage({ kind: "gone", id: tab.id } satisfies Said); // its worker may not live to
  };
  const back = (event: PageTransitionEvent) => {
    isGone = false;
    if (event.persisted) seen();
  };
  document.addEventListener("visibilitychange", seen, { signal });
  document.addEventListener("freeze", freeze, { signal });
  document.addEventListener("resume", seen, { signal });
  addEventListener("focus", seen, { signal });
  addEventListener("pagehide", gone, { signal });
  addEventListener("pageshow", back, { signal });
  return { tab, unwatch: () => ended.abort() };
}
