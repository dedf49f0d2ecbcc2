/** What keys do, when nobody types in a field. */

import type { ViewState } from "./view-state";

export const KEYS = [
  ["/", "search"],
  ["n", "next match"],
  ["N", "previous match"],
  ["e", "next error"],
  ["f", "follow the newest line, or stop"],
  ["g, Home", "top"],
  ["G, End", "end"],
  ["w", "wrap long lines, or not"],
  ["?", "this help"],
  ["Esc", "close, clear the search, clear the selection"],
] as const;

export interface KeyActions {
  focusSearch(): void;
  toggleWrap(): void;
}

/** Whether the key was ours. */
export function pressed(view: ViewState, key: string, actions: KeyActions): boolean {
  const commands: Record<string, () => void> = {
    "/": () => actions.focusSearch(),
    n: () => view.step(1),
    N: () => view.step(-1),
    e: () => view.nextError(),
    f: () => (view.follow.value ? view.stay() : view.toEnd()),
    g: () => view.toTop(),
    G: () => view.toEnd(),
    Home: () => view.toTop(),
    End: () => view.toEnd(),
    w: () => actions.toggleWrap(),
    "?": () => (view.help.value = true),
    Escape: () => escape(view),
  };
  const command = commands[key];
  command?.();
  return command !== undefined;
}

function escape(view: ViewState): void {
  if (view.help.value) view.help.value = false;
  else if (view.typed.value !== "") view.find("", false);
  else view.clearSelection();
}

export function isTyping(target: EventTarget | null): boolean {
  return target instanceof Element && target.closest("input, textarea, select, [contenteditable], dialog") !== null;
}
