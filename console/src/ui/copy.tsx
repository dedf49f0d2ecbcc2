import { useState } from "preact/hooks";
import { toast } from "./toast";

/** Puts a text on the clipboard and says so on the button itself. */
export function Copy({ text, label = "Copy", what }: { text: string; label?: string; what: string }) {
  const [done, setDone] = useState(false);
  async function copy() {
    if (!(await copyText(text))) {
      toast("The browser did not let the page copy. Select the text and copy it by hand.", "bad");
      return;
    }
    setDone(true);
    setTimeout(() => setDone(false), 2000);
  }
  return (
    <button
      type="button"
      class="button"
      onClick={() => void copy()}
      aria-label={done ? `Copied ${what}` : `Copy ${what}`}
    >
      {done ? "Copied" : label}
    </button>
  );
}

/** Whether it is on the clipboard. Over plain http from another host there is only the old way. */
export async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

function copyBySelection(text: string): boolean {
  const area = document.createElement("textarea");
  area.value = text;
  area.className = "visually-hidden";
  // Inside an open dialog, since everything outside of it takes no focus.
  (document.querySelector("dialog[open]") ?? document.body).append(area);
  area.select();
  try {
    return document.execCommand("copy");
  } finally {
    area.remove();
  }
}
