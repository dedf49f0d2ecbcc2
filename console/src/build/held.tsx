import { ApiError } from "../api/client";
import { useAction } from "../ui/action";
import { Copy } from "../ui/copy";
import { ticking } from "../ui/duration";
import { Problem } from "../ui/form";
import { usePoll } from "../ui/poll";
import { endHeld, getHeld } from "./api";
import { Notice } from "./notice";
import { useNow } from "./times";

const EVERY_MS = 15_000;

/** The machine of a step that failed, while it is held. `clock`: how far the server's is ahead. */
export function HeldNotice({ buildRef, attempt, clock }: { buildRef: string; attempt: number; clock: number }) {
  const held = usePoll((signal) => getHeld(buildRef, signal).catch(noneHeld), EVERY_MS, [buildRef, attempt]);
  const end = useAction();
  const now = useNow() + clock;
  const left = held.value ? Date.parse(held.value.expires_at) - now : 0;
  if (!held.value || held.value.attempt !== attempt || left <= 0) return null;
  const command = `ingot debug ${buildRef}`;
  return (
    <Notice
      tone="warn"
      class="ending"
      actions={
        <>
          <Copy text={command} what={command} />
          <button
            class="button"
            disabled={end.busy}
            onClick={() => void end.run(() => endHeld(buildRef)).then(() => held.reload())}
          >
            End the machine
          </button>
        </>
      }
    >
      <p>
        <strong>Its machine is held for {ticking(left)}</strong>, as the step “{held.value.step}” left it. Look into it
        with <code>{command}</code>
      </p>
      <Problem error={end.error} />
    </Notice>
  );
}

function noneHeld(error: unknown): null {
  if (error instanceof ApiError && error.code === "nothing_held") return null;
  throw error;
}
