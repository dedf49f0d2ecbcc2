import type { ComponentChildren } from "preact";
import { Link } from "wouter-preact";
import { ApiError } from "../api/client";
import "./states.css";

/** What stands where content will be. It shows after a moment only, so that quick answers do not flicker. */
export function Loading({ what }: { what: string }) {
  return (
    <div class="state loading" role="status">
      Loading {what} …
    </div>
  );
}

/** Nothing there yet, and how to change that. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="state">
      <h2>{title}</h2>
      {children}
    </div>
  );
}

/** Something went wrong: what, and a way on. */
export function Failed({ error, retry }: { error: unknown; retry?: () => void }) {
  const told = error instanceof ApiError ? error : null;
  return (
    <div class="state failed" role="alert">
      <h2>That did not work</h2>
      <p>{error instanceof Error ? error.message : String(error)}</p>
      {told?.requestId && <p class="soft">Request {told.requestId}: the server's log names it.</p>}
      {retry && (
        <button class="button" onClick={retry}>
          Try again
        </button>
      )}
    </div>
  );
}

export function Missing({ what }: { what: string }) {
  return (
    <Empty title={`There is no such ${what}`}>
      <p>
        <Link href="/">Go to the builds</Link>
      </p>
    </Empty>
  );
}
