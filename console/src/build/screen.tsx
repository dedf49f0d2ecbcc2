import { useEffect, useState } from "preact/hooks";
import { answer, ApiError, templatePath } from "../api/client";
import { Dialog } from "../ui/dialog";

const EVERY_MS = 2000;

/** What the building machine's screen shows, while it has one: a small picture that a click makes large. */
export function MachineScreen({ buildRef }: { buildRef: string }) {
  const picture = usePicture(buildRef);
  const [large, setLarge] = useState(false);
  if (picture === null) return null;
  return (
    <section class="side-part" aria-label="The machine's screen">
      <button class="screen-small" title="Show it larger" onClick={() => setLarge(true)}>
        <img src={picture} alt="What the building machine's screen shows now" />
      </button>
      {large && (
        <Dialog title="The building machine's screen" wide onClose={() => setLarge(false)}>
          <img class="screen-large" src={picture} alt="What the building machine's screen shows now" />
        </Dialog>
      )}
    </section>
  );
}

/** The newest picture's address; null while there is none. Nothing is asked while the page is hidden, nor of machines
 * without a screen any more. */
function usePicture(buildRef: string): string | null {
  const [picture, setPicture] = useState<string | null>(null);
  useEffect(() => {
    const ended = new AbortController();
    let shown: string | null = null;
    let timer = 0;
    const show = (next: string | null) => {
      if (shown !== null) URL.revokeObjectURL(shown);
      setPicture((shown = next));
    };
    const turn = async () => {
      if (document.hidden) return void (timer = window.setTimeout(turn, EVERY_MS));
      try {
        const taken = await takePicture(buildRef, ended.signal);
        if (!ended.signal.aborted) show(URL.createObjectURL(taken));
      } catch (error) {
        if (ended.signal.aborted) return;
        show(null);
        if (isScreenless(error)) return;
      }
      timer = window.setTimeout(turn, EVERY_MS);
    };
    void turn();
    return () => {
      ended.abort();
      clearTimeout(timer);
      if (shown !== null) URL.revokeObjectURL(shown);
    };
  }, [buildRef]);
  return picture;
}

async function takePicture(buildRef: string, signal: AbortSignal): Promise<Blob> {
  return (await answer("GET", `${templatePath(buildRef)}/build/screenshot`, { signal })).blob();
}

/** `nothing_builds` passes: the machine may be about to boot. */
function isScreenless(error: unknown): boolean {
  return error instanceof ApiError && error.status >= 400 && error.status < 500 && error.code !== "nothing_builds";
}
