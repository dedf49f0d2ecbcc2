/** Asks the server again and again: not while the page is hidden, and less often while it does not answer. */

import { useEffect, useRef, useState } from "preact/hooks";
import { session } from "../session";

const MOST_MS = 60_000;

export interface Polled<T> {
  /** The last answer; it stays while later ones fail. */
  value: T | undefined;
  /** Why the last try failed, if it did. */
  error: unknown;
  reload: () => void;
}

/** `every` is the pause between two questions in milliseconds, or how to tell it from the last answer; null: do not
 * ask again. It starts anew when one of `about` changes, and when the session does. */
export function usePoll<T>(
  ask: (signal: AbortSignal) => Promise<T>,
  every: number | null | ((value: T) => number | null),
  about: readonly unknown[] = [],
): Polled<T> {
  const [state, setState] = useState<{ value: T | undefined; error: unknown }>({ value: undefined, error: null });
  const [turn, setTurn] = useState(0);
  const now = useRef({ ask, every });
  now.current = { ask, every };

  useEffect(() => setState({ value: undefined, error: null }), about);
  useEffect(() => poll(now.current, setState), [...about, turn, session.value]);
  return { ...state, reload: () => setTurn((count) => count + 1) };
}

type Asking<T> = {
  ask: (signal: AbortSignal) => Promise<T>;
  every: number | null | ((value: T) => number | null);
};
type Tell<T> = (
  change: (old: { value: T | undefined; error: unknown }) => { value: T | undefined; error: unknown },
) => void;

function poll<T>({ ask, every }: Asking<T>, tell: Tell<T>): () => void {
  const ended = new AbortController();
  let timer = 0;
  let failures = 0;
  let isDue = false;

  async function turn() {
    isDue = false;
    let pause: number | null;
    try {
      const value = await ask(ended.signal);
      if (ended.signal.aborted) return;
      failures = 0;
      pause = typeof every === "function" ? every(value) : every;
      tell(() => ({ value, error: null }));
    } catch (error) {
      if (ended.signal.aborted) return;
      failures += 1;
      pause = every === null ? null : Math.min(MOST_MS, 2000 * 2 ** failures);
      tell((old) => ({ ...old, error }));
    }
    if (pause !== null) timer = window.setTimeout(next, pause);
  }

  function next() {
    if (document.hidden) isDue = true;
    else void turn();
  }

  function onShown() {
    if (!document.hidden && isDue) void turn();
  }

  document.addEventListener("visibilitychange", onShown);
  void turn();
  return () => {
    ended.abort();
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", onShown);
  };
}
