/** Texts that are not published yet, kept in the browser so that a reload loses nothing. One a page and account. */

export interface Draft {
  text: string;
  /** ISO time of the last change. */
  at: string;
}

export function draftOf(name: string): Draft | null {
  try {
    const kept = JSON.parse(localStorage.getItem(keyOf(name)) ?? "null") as Partial<Draft> | null;
    return typeof kept?.text === "string" && typeof kept.at === "string" ? { text: kept.text, at: kept.at } : null;
  } catch {
    return null;
  }
}

/** Keeps it; a browser without room or leave for that goes without. */
export function keepDraft(name: string, text: string): void {
  try {
    localStorage.setItem(keyOf(name), JSON.stringify({ text, at: new Date().toISOString() }));
  } catch {
    // Leaving the page still asks.
  }
}

export function dropDraft(name: string): void {
  localStorage.removeItem(keyOf(name));
}

function keyOf(name: string): string {
  return `ingot-draft:${name}`;
}
