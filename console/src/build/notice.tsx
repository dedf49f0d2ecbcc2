import type { ComponentChildren } from "preact";
import "./notice.css";

type Tone = "" | "ok" | "bad" | "warn" | "busy";

/** A strip that says one thing about the build, with what one can do about it. */
export function Notice(props: {
  tone?: Tone;
  /** `alert` for what must be heard at once. */
  role?: "status" | "alert";
  actions?: ComponentChildren;
  /** In all its width, below the text and the actions. */
  below?: ComponentChildren;
  children: ComponentChildren;
  class?: string;
}) {
  return (
    <div class={`notice ${props.tone ?? ""} ${props.class ?? ""}`} role={props.role}>
      <div class="notice-text">{props.children}</div>
      {props.actions && <div class="notice-actions">{props.actions}</div>}
      {props.below && <div class="notice-below">{props.below}</div>}
    </div>
  );
}

export function Trouble({ error, onDismiss }: { error: unknown; onDismiss: () => void }) {
  return (
    <Notice
      tone="bad"
      role="alert"
      actions={
        <button class="button quiet" onClick={onDismiss}>
          Dismiss
        </button>
      }
    >
      {error instanceof Error ? error.message : String(error)}
    </Notice>
  );
}
