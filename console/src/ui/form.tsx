import type { ComponentChildren } from "preact";
import { ApiError } from "../api/client";
import { wordsOf } from "./action";
import "./form.css";

/** What went wrong, in the server's words; nothing where nothing did. */
export function Problem({ error }: { error: unknown }) {
  const told = error instanceof ApiError ? error : null;
  return (
    <div role="alert" class="problem">
      {error !== null && error !== undefined && (
        <>
          <p>{wordsOf(error)}</p>
          {told !== null && told.status >= 500 && (
            <p class="soft">Request {told.requestId}: the server's log names it.</p>
          )}
        </>
      )}
    </div>
  );
}

interface FieldProps {
  label: string;
  hint?: ComponentChildren;
  children: ComponentChildren;
}

/** A label around its input; the hint belongs to the label's text. */
export function Field({ label, hint, children }: FieldProps) {
  return (
    <label class="field">
      <span>{label}</span>
      {children}
      {hint && <small>{hint}</small>}
    </label>
  );
}

/** A remark that stays: something to know, or to be careful about. */
export function Note({
  kind = "info",
  children,
}: {
  kind?: "info" | "warn" | "bad" | "ok";
  children: ComponentChildren;
}) {
  return <div class={`note ${kind}`}>{children}</div>;
}
