/** Leaving a page with something unsaved asks first: links of the console, the tab's close, a reload. */

import { useEffect } from "preact/hooks";

let held: string | null = null;

/** While `question` is no null it stands in the way. */
export function useHold(question: string | null): void {
  useEffect(() => {
    held = question;
    if (question === null) return;
    const onUnload = (event: BeforeUnloadEvent) => event.preventDefault();
    addEventListener("beforeunload", onUnload);
    return () => {
      held = null;
      removeEventListener("beforeunload", onUnload);
    };
  }, [question]);
}

/** Lets the next navigation pass. */
export function letGo(): void {
  held = null;
}

/** Whether one may leave now: asks, where something holds. */
export function mayLeave(): boolean {
  return held === null || window.confirm(held);
}
