import { signal } from "@preact/signals";
import { ApiError, onSignedOut, request } from "./api/client";

export type Scope = "read" | "publish" | "build" | "launch" | "admin";

export interface Session {
  account: string;
  key: { id: string; name: string; prefix: string };
  scopes: Scope[];
  expires_at: string;
}

/** undefined: not asked yet; null: nobody is signed in. */
export const session = signal<Session | null | undefined>(undefined);

/** The session ended while a page was open: the page stays, and asks to sign in again. */
export const hasExpired = signal(false);

/** The one-time code of a link that somebody opened who is signed in already: theirs to use or to leave. */
export const offered = signal<string | null>(null);

/** Why nobody is signed in, where that is worth saying. */
export const refusal = signal<unknown>(null);

onSignedOut(() => {
  if (session.value) hasExpired.value = true;
  else session.value = null;
});

export async function loadSession(): Promise<void> {
  const code = takeCode();
  try {
    const known = await knownSession();
    if (known === null && code !== null) return await signIn({ code });
    session.value = known;
    offered.value = code;
  } catch (error) {
    session.value = null;
    refusal.value = error;
    if (!(error instanceof ApiError)) throw error;
  }
}

/** Signs in with a key, or with the one-time code of `ingot console`. */
export async function signIn(by: { key: string } | { code: string }): Promise<void> {
  refusal.value = null;
  session.value = await request<Session>("POST", "/api/session", { json: by });
  hasExpired.value = false;
}

export async function signOut(): Promise<void> {
  await request("DELETE", "/api/session");
  leave();
}

/** Shows the sign-in page, where the session is over anyway. */
export function leave(): void {
  session.value = null;
  hasExpired.value = false;
}

/** Whether the session's key may do it; the server checks again. */
export function may(scope: Scope): boolean {
  const scopes = session.value?.scopes ?? [];
  return scopes.includes(scope) || scopes.includes("admin");
}

/** null where nobody is signed in. */
async function knownSession(): Promise<Session | null> {
  try {
    return await request<Session>("GET", "/api/session");
  } catch (error) {
    if (error instanceof ApiError && error.status === 401) return null;
    throw error;
  }
}

/** The code of `/console/sign-in#code=…`, which is taken out of the address at once. */
function takeCode(): string | null {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) history.replaceState(null, "", "/console/");
  return code;
}
