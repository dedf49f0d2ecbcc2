/** What the server says when it closes a computer's WebSocket. A refusal comes as 4000 and its HTTP status. */

const REVOKED = 1008;
const FOR_NOW = ["not_running", "screen_busy", "unavailable", "internal"];

export interface Refusal {
  why: string;
  /** It may be other in a moment. */
  passes: boolean;
}

/** Null for an end that is no refusal. */
export function refusalIn({ code, reason }: CloseEvent): Refusal | null {
  if (code === REVOKED) return { why: sentence(reason || "the session is over"), passes: false };
  if (code < 4400 || code > 4599) return null;
  const [, name = "", text = reason] = /^([a-z_]+): (.*)$/is.exec(reason) ?? [];
  return { why: sentence(text || "the server refused it"), passes: FOR_NOW.includes(name) };
}

function sentence(text: string): string {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?…]$/.test(text) ? "" : "."}`;
}
