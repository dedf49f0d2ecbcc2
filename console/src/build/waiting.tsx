import { Link } from "wouter-preact";
import { usePoll } from "../ui/poll";
import { getOverview, type Attempt } from "./api";
import { ticking } from "../ui/duration";
import { attemptPath } from "./head";
import { Notice } from "./notice";
import { ordinal } from "./times";

const EVERY_MS = 3000;

/** What a build waits for, and what to expect. `place` counts from 1; null: it waits for another build of the same
 * content. */
export function WaitingNotice(props: { own: string; place: number | null; joined: boolean; waited: number | null }) {
  const overview = usePoll((signal) => getOverview(0, signal), EVERY_MS).value;
  const others = (overview?.active ?? []).filter((other) => other.ref !== props.own);
  const running = others.filter((other) => other.state === "running");
  return (
    <Notice tone="busy" class="ending">
      <p>
        <strong>{headline(props.place, props.joined)}</strong>
        {props.waited !== null && <span class="soft"> It has waited {ticking(props.waited)}.</span>}
      </p>
      <p>
        {props.joined
          ? "The same content is being built already. This build ends with that one, with the same golden snapshot."
          : "It begins by itself as soon as a builder is free. You can leave this page and come back."}
        {running.length > 0 && <Ahead builds={running} />}
      </p>
    </Notice>
  );
}

function headline(place: number | null, joined: boolean): string {
  if (joined) return "Waiting for another build of the same content.";
  if (place === null) return "Waiting for its turn.";
  if (place === 1) return "First in the queue: next to be built.";
  return `${ordinal(place).replace(/^./, (letter) => letter.toUpperCase())} in the queue: ${place - 1} ahead of it.`;
}

function Ahead({ builds }: { builds: readonly Attempt[] }) {
  return (
    <>
      {" "}
      Under way now:{" "}
      {builds.map((build, place) => (
        <span key={build.ref}>
          {place > 0 && ", "}
          <Link href={attemptPath(build.ref, null)}>{build.ref}</Link>
        </span>
      ))}
      .
    </>
  );
}
