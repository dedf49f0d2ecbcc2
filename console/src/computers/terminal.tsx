import { useEffect, useRef, useState } from "preact/hooks";
import type { Computer } from "../api/types";
import { LEAVE_KEY, leaveOnKey } from "./leave-keys";
import { TerminalLink } from "./terminal-link";

/** A login shell in the computer. It ends when this part of the page is left. */
export default function Terminal({ computer }: { computer: Computer }) {
  const place = useRef<HTMLDivElement>(null);
  const [link, setLink] = useState<TerminalLink | null>(null);
  const [number, setNumber] = useState(1);
  const [aloud, setAloud] = useState(false);

  useEffect(() => {
    if (!place.current) return;
    const made = new TerminalLink(place.current, computer.id, aloud);
    setLink(made);
    return () => made.close();
  }, [computer.id, number]);

  const now = link?.state.value;
  return (
    <div class="stack" onKeyDownCapture={leaveOnKey}>
      <div class="row screen-bar">
        <button class="button" onClick={() => setNumber(number + 1)}>
          {now?.state === "ended" ? "Open a new one" : "Start over"}
        </button>
        <label class="check">
          <input
            type="checkbox"
            checked={aloud}
            onChange={(event) => {
              setAloud(event.currentTarget.checked);
              link?.readAloud(event.currentTarget.checked);
            }}
          />
          For screen readers
        </label>
        <span class="soft" role="status">
          {now?.state === "ended"
            ? now.why
            : now?.state === "open"
              ? `Connected as root. ${LEAVE_KEY} gives the keyboard back.`
              : "Opening a terminal …"}
        </span>
      </div>
      <div class="terminal-frame">
        <div class="terminal" ref={place} role="group" aria-label={`Terminal of ${computer.name}`} />
      </div>
    </div>
  );
}
