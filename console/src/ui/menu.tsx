import { useEffect, useId, useRef, useState } from "preact/hooks";
import "./menu.css";

export interface Choice {
  label: string;
  act: () => void;
  danger?: boolean;
  /** Why it cannot be chosen now. */
  barred?: string | false;
}

/** A button that opens a list of deeds. Arrows walk, Home and End jump, Escape closes. */
export function Menu({ label, choices }: { label: string; choices: readonly Choice[] }) {
  const [open, setOpen] = useState(false);
  const root = useRef<HTMLDivElement>(null);
  const id = useId();

  useEffect(() => {
    if (!open) return;
    items(root.current)[0]?.focus();
    const onOutside = (event: Event) => {
      if (event.target instanceof Node && !root.current?.contains(event.target)) setOpen(false);
    };
    document.addEventListener("pointerdown", onOutside);
    return () => document.removeEventListener("pointerdown", onOutside);
  }, [open]);

  function close() {
    setOpen(false);
    root.current?.querySelector<HTMLElement>(":scope > button")?.focus();
  }

  return (
    <div class="menu" ref={root} onKeyDown={(event) => open && walk(event, items(root.current), close)}>
      <button
        type="button"
        class="button quiet"
        aria-haspopup="menu"
        aria-expanded={open}
        aria-controls={open ? id : undefined}
        aria-label={label}
        onClick={() => setOpen(!open)}
      >
        ⋯
      </button>
      {open && (
        <div class="menu-list" id={id} role="menu" aria-label={label}>
          {choices.map((choice) => (
            <button
              key={choice.label}
              type="button"
              role="menuitem"
              tabIndex={-1}
              class={choice.danger ? "danger" : ""}
              aria-disabled={Boolean(choice.barred)}
              title={choice.barred || undefined}
              onClick={() => {
                if (choice.barred) return;
                close();
                choice.act();
              }}
            >
              {choice.label}
            </button>
          ))}
        </div>
      )}
    </div>
  );
}

function items(root: HTMLElement | null): HTMLElement[] {
  return [...(root?.querySelectorAll<HTMLElement>("[role=menuitem]") ?? [])];
}

function walk(event: KeyboardEvent, entries: HTMLElement[], close: () => void): void {
  const here = entries.indexOf(document.activeElement as HTMLElement);
  const to: Record<string, number> = { ArrowDown: here + 1, ArrowUp: here - 1, Home: 0, End: -1 };
  if (event.key === "Escape" || event.key === "Tab") {
    if (event.key === "Escape") event.preventDefault();
    close();
  } else if (event.key in to) {
    event.preventDefault();
    entries.at((to[event.key] ?? 0) % entries.length)?.focus();
  }
}
