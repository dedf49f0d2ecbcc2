import type { ComponentChildren } from "preact";
import { useEffect, useId, useRef } from "preact/hooks";
import { useAction } from "./action";
import { Problem } from "./form";
import "./dialog.css";

interface DialogProps {
  title: string;
  /** Escape and the close button; without it the dialog stays until its purpose is met. */
  onClose?: () => void;
  children: ComponentChildren;
  wide?: boolean;
}

/** A modal dialog for as long as it is rendered. The browser keeps the focus in it and gives it back. */
export function Dialog({ title, onClose, children, wide }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  const label = useId();
  useEffect(() => {
    const opener = document.activeElement;
    const shown = element.current;
    shown?.showModal();
    return () => {
      shown?.close(); // while it is open, nothing outside of it takes the focus
      if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={wide ? "dialog wide" : "dialog"}
      aria-labelledby={label}
      onCancel={(event) => {
        event.preventDefault();
        onClose?.();
      }}
    >
      <header class="dialog-head">
        <h2 id={label}>{title}</h2>
        {onClose && (
          <button type="button" class="button quiet" onClick={onClose} aria-label="Close">
            ✕
          </button>
        )}
      </header>
      {children}
    </dialog>
  );
}

/** The end of a form in a dialog: leave it, or have it done. */
export function DialogFoot(props: { verb: string; doing: string; busy: boolean; onClose: () => void }) {
  return (
    <footer class="dialog-foot">
      <button type="button" class="button" onClick={props.onClose}>
        Cancel
      </button>
      <button class="button primary" disabled={props.busy}>
        {props.busy ? props.doing : props.verb}
      </button>
    </footer>
  );
}

interface ConfirmProps {
  title: string;
  /** What the button says: the deed itself, never "OK". */
  verb: string;
  danger?: boolean;
  act: () => Promise<unknown>;
  onDone?: () => void;
  onClose: () => void;
  children?: ComponentChildren;
}

/** Asks before something that cannot be taken back. Cancel has the focus. */
export function Confirm({ title, verb, danger = true, act, onDone, onClose, children }: ConfirmProps) {
  const action = useAction();
  async function confirm() {
    if (await action.run(act)) {
      onClose();
      onDone?.();
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <div class="dialog-body">{children}</div>
      <Problem error={action.error} />
      <footer class="dialog-foot">
        <button type="button" class="button" autofocus onClick={onClose}>
          Cancel
        </button>
        <button
          type="button"
          class={danger ? "button danger" : "button primary"}
          disabled={action.busy}
          onClick={() => void confirm()}
        >
          {action.busy ? `${verb} …` : verb}
        </button>
      </footer>
    </Dialog>
  );
}
