/** A screen and a terminal take every key, Tab too. This one lets who works by keyboard out again. */

export const LEAVE_KEY = "Ctrl+F6";

/** Puts the focus on the first button of the bar before it. Give it to `onKeyDownCapture` of what holds both. */
export function leaveOnKey(event: KeyboardEvent): void {
  if (event.key !== "F6" || !event.ctrlKey) return;
  event.preventDefault();
  event.stopPropagation();
  (event.currentTarget as HTMLElement).querySelector<HTMLElement>("button, input, select")?.focus();
}

/** The address of a computer's WebSocket on this very server. */
export function socketAddress(path: string): string {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}
