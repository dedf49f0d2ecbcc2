import { useEffect, useRef, useState } from "preact/hooks";
import type { Computer } from "../api/types";
import { Dialog } from "../ui/dialog";
import { Field, Note } from "../ui/form";
import { LEAVE_KEY, leaveOnKey } from "./leave-keys";
import { ScreenLink } from "./screen-link";
import { withoutKey } from "./strokes.ts";

/** A virtual machine's screen, live: keys and pointer go to it. */
export default function Screen({ computer }: { computer: Computer }) {
  const place = useRef<HTMLDivElement>(null);
  const frame = useRef<HTMLDivElement>(null);
  const [link, setLink] = useState<ScreenLink | null>(null);
  const [fits, setFits] = useState(true);
  const [typing, setTyping] = useState(false);

  useEffect(() => {
    if (!place.current) return;
    const made = new ScreenLink(place.current, computer);
    setLink(made);
    return () => made.close();
  }, [computer.id, computer.vnc_password]);

  const now = link?.state.value;
  const isShown = now?.state === "shown";
  return (
    <div class="stack" onKeyDownCapture={leaveOnKey}>
      <div class="row screen-bar">
        <label class="check">
          <input
            type="checkbox"
            checked={fits}
            onChange={(event) => {
              setFits(event.currentTarget.checked);
              link?.scale(event.currentTarget.checked);
            }}
          />
          Fit to the page
        </label>
        <button class="button" disabled={!isShown} onClick={() => link?.pressCtrlAltDel()}>
          Ctrl+Alt+Del
        </button>
        <button class="button" disabled={!isShown || link?.untyped.value !== 0} onClick={() => setTyping(true)}>
          Type a text …
        </button>
        <button
          class="button"
          disabled={!isShown || !document.fullscreenEnabled}
          onClick={() => void frame.current?.requestFullscreen()}
        >
          Full screen
        </button>
        <span class="soft" role="status">
          {now === undefined || now.state === "connecting"
            ? "Connecting to the screen …"
            : now.state === "shown"
              ? `Connected. ${LEAVE_KEY} gives the keyboard back.`
              : now.why}
        </span>
        {link !== null && <Typing link={link} />}
        {(now?.state === "lost" || now?.state === "refused") && (
          <button class="button primary" onClick={() => link?.reconnect()}>
            Connect again
          </button>
        )}
      </div>
      <div class={fits ? "screen fits" : "screen"} ref={frame}>
        <div class="screen-place" ref={place} role="application" aria-label={`Screen of ${computer.name}`} />
      </div>
      {typing && <TypeText type={(text) => void link?.type(text)} onClose={() => setTyping(false)} />}
    </div>
  );
}

function Typing({ link }: { link: ScreenLink }) {
  const left = link.untyped.value;
  if (left === 0) return null;
  return (
    <button class="button" onClick={() => link.stopTyping()}>
      Stop typing ({left.toLocaleString("en")} to go)
    </button>
  );
}

/** Pasting into a machine without a clipboard of its own: the text is typed. */
function TypeText({ type, onClose }: { type: (text: string) => void; onClose: () => void }) {
  const [text, setText] = useState("");
  const missing = withoutKey(text);
  function send(event: Event) {
    event.preventDefault();
    type(text);
    onClose();
  }
  return (
    <Dialog title="Type a text on this computer" onClose={onClose}>
      <form class="stack" onSubmit={send}>
        <Field label="Text" hint="It is typed key by key, line breaks too, as if you did it by hand.">
          <textarea
            required
            rows={5}
            class="mono"
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
          />
        </Field>
        {missing.length > 0 && (
          <Note kind="warn">
            <p>These have no key on an American keyboard, which this is, and are left out: {missing.join(" ")}</p>
          </Note>
        )}
        <footer class="dialog-foot">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button class="button primary">Type it</button>
        </footer>
      </form>
    </Dialog>
  );
}
