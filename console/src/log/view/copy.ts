/** To the clipboard: pages that came over plain http have only the old way. */

import type { ViewState } from "./view-state";

export async function copyLines(view: ViewState, first: number, last: number): Promise<void> {
  const text = await view.log.textOf(first, last);
  if (text === null) return view.tell("That is too much for the clipboard: download the log instead.");
  const count = text.split("\n").length - 1; // of a log that is still coming there may be fewer
  await copyText(view, text, count === 1 ? "Copied the line." : `Copied ${count.toLocaleString("en")} lines.`);
}

export async function copyText(view: ViewState, text: string, done: string): Promise<void> {
  const copied = await navigator.clipboard?.writeText(text).then(
    () => true,
    () => false,
  );
  view.tell(copied || copyByField(text) ? done : "The browser did not let the page copy.");
}

/** The command that follows this log, with the name of a variable in place of a key. */
export function curlOf(view: ViewState): string {
  const address = new URL(view.log.eventsPath.value, location.href).href;
  return `curl -N -H "Authorization: Bearer $INGOT_API_KEY" '${address}'`;
}

function copyByField(text: string): boolean {
  const before = document.activeElement as HTMLElement | null;
  const field = document.createElement("textarea");
  field.value = text;
  field.className = "visually-hidden";
  document.body.append(field);
  field.select();
  const copied = document.execCommand("copy");
  field.remove();
  before?.focus();
  return copied;
}
