import { cloneElement, type ComponentChildren, type JSX, type VNode } from "preact";
import { useId } from "preact/hooks";
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
  /** The input. */
  children: VNode<JSX.HTMLAttributes>;
}

/** An input with its label above and its hint below, which describes it. */
export function Field({ label, hint, children }: FieldProps) {
  const id = useId();
  const input = cloneElement(children, hint ? { id, "aria-describedby": `${id}-hint` } : { id });
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {input}
      {hint && <small id={`${id}-hint`}>{hint}</small>}
    </div>
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
