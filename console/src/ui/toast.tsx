import { signal } from "@preact/signals";
import "./toast.css";

interface Toast {
  id: number;
  text: string;
  kind: "ok" | "bad";
}

const SHOWN_MS = 6000;
const toasts = signal<readonly Toast[]>([]);
let made = 0;

/** Says in passing that something is done. What must be read stands in the page instead. */
export function toast(text: string, kind: Toast["kind"] = "ok"): void {
  const id = ++made;
  toasts.value = [...toasts.value.slice(-3), { id, text, kind }];
  setTimeout(() => drop(id), SHOWN_MS);
}

function drop(id: number): void {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** The place where they show; once a page. */
export function Toasts() {
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map((toast) => (
        <div key={toast.id} class={`toast ${toast.kind}`}>
          <span>{toast.text}</span>
          <button class="button quiet" aria-label="Dismiss" onClick={() => drop(toast.id)}>
            ✕
          </button>
        </div>
      ))}
    </div>
  );
}
