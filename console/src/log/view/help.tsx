import { useEffect, useRef } from "preact/hooks";
import { KEYS } from "./keys";
import type { ViewState } from "./view-state";

export function Help({ view }: { view: ViewState }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    if (view.help.value) dialog.current?.showModal();
    else dialog.current?.close();
  }, [view.help.value]);
  return (
    <dialog class="log-help" ref={dialog} aria-labelledby="log-help-title" onClose={() => (view.help.value = false)}>
      <h2 id="log-help-title">Keys</h2>
      <dl>
        {KEYS.map(([key, meaning]) => (
          <div>
            <dt>
              <kbd>{key}</kbd>
            </dt>
            <dd>{meaning}</dd>
          </div>
        ))}
      </dl>
      <p class="soft">
        The search takes text as it is; capitals count only where you type one. Shift and a click on a second number
        select the lines between; the address then names them.
      </p>
      <form method="dialog">
        <button class="button primary">Close</button>
      </form>
    </dialog>
  );
}
