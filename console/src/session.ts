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

onSignedOut(() => {
  if (session.value) hasExpired.value = true;
  else session.value = null;
});

export async function loadSession(): Promise<void> {
  const code = takeCode();
  try {
    session.value = code ? await openSession({ code }) : await request<Session>("GET", "/api/session");
  } catch (error) {
    session.value = null;
    if (!(error instanceof ApiError)) throw error;
  }
}

/** Signs in with a key, or with the one-time code of `ingot console`. */
export async function signIn(by: { key: string } | { code: string }): Promise<void> {
  session.value = await openSession(by);
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

function openSession(by: { key: string } | { code: string }): Promise<Session> {
  return request<Session>("POST", "/api/session", { json: by });
}

/** The code of `/console/sign-in#code=…`, which is taken out of the address at once. */
function takeCode(): string | null {
  const code = new URLSearchParams(location.hash.slice(1)).get("code");
  if (code) history.replaceState(null, "", "/console/");
  return code;
}
