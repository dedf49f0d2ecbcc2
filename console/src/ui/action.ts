/** Something that a button does: busy while it goes on, and with the server's words when it fails. */

import { useRef, useState } from "preact/hooks";

export interface Action {
  busy: boolean;
  error: unknown;
  /** Does it, unless it is being done; true when it went well. */
  run: (work: () => Promise<unknown>) => Promise<boolean>;
  forget: () => void;
}

export function useAction(): Action {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<unknown>(null);
  const going = useRef(false);

  async function run(work: () => Promise<unknown>): Promise<boolean> {
    if (going.current) return false;
    going.current = true;
    setBusy(true);
    setError(null);
    try {
      await work();
      return true;
    } catch (failed) {
      setError(failed);
      return false;
    } finally {
      going.current = false;
      setBusy(false);
    }
  }

  return { busy, error, run, forget: () => setError(null) };
}

export function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
